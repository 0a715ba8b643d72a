//! The original model, which the interpreter keeps compiled until it is scored.

use intact8_infer::InferShapes;
use intact8_interp::{Interpreter, Session};
use intact8_ir::{Model, Pass, Result};
use intact8_quant::passes::ComputeInF32;
use std::sync::Arc;

/// The original model, compiled by the interpreter that runs all other models too.
#[derive(Clone)]
pub struct OriginalModel {
    pub(super) interpreter: Arc<Interpreter>,
    pub(super) model: Model,
    /// The compiled model, until it is scored. Its packed weights would otherwise occupy memory during all trials.
    pub(super) session: Option<Arc<Session>>,
}

impl OriginalModel {
    /// Compiles a model. A network of f16, bf16 or f64 is computed in f32, as runtimes on processors compute f16: results
    /// between its operators may be beyond the range of f16.
    ///
    /// # Errors
    /// If the interpreter can't run it.
    pub fn new(interpreter: Arc<Interpreter>, model: &Model) -> Result<OriginalModel> {
        let mut model = model.clone();
        InferShapes.run(&mut model)?;
        ComputeInF32.run(&mut model)?;
        let session = Some(Arc::new(interpreter.session(&model)?));
        Ok(OriginalModel { interpreter, model, session })
    }

    /// The compiled model.
    pub(super) fn session(&mut self) -> Result<Arc<Session>> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let session = Arc::new(self.interpreter.session(&self.model)?);
        self.session = Some(session.clone());
        Ok(session)
    }
}
