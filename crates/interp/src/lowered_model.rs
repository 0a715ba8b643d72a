//! A model that the interpreter has made runnable: lowered for runs that nobody watches, and as it is for those that somebody does.

use crate::interpreter::Interpreter;
use crate::lower::lower;
use crate::session::Session;
use intact8_ir::{Executor, Model, Result, Tap, Tensor};
use std::sync::OnceLock;

/// An executor of an interpreter.
pub(crate) struct LoweredModel<'a> {
    interpreter: &'a Interpreter,
    model: Model,
    lowered: Session,
    /// The model as it is, once a run is watched.
    watched: OnceLock<Session>,
}

impl<'a> LoweredModel<'a> {
    pub(crate) fn new(interpreter: &'a Interpreter, model: &Model) -> Result<LoweredModel<'a>> {
        let lowered = interpreter.compiled(&lower(model)?, true)?;
        Ok(LoweredModel { interpreter, model: model.clone(), lowered, watched: OnceLock::new() })
    }
}

impl Executor for LoweredModel<'_> {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        self.lowered.run(inputs)
    }

    fn run_tapped(&self, inputs: &[Tensor], tap: Tap<'_>) -> Result<Vec<Tensor>> {
        let watched = match self.watched.get() {
            Some(watched) => watched,
            None => {
                let session = self.interpreter.compiled(&self.model, false)?;
                self.watched.get_or_init(|| session)
            }
        };
        watched.run_tapped(inputs, tap)
    }
}
