//! Our interpreter as a runtime.

use crate::context::Limits;
use crate::session::Session;
use crate::sharing::Registry;
use intact8_ir::{Executor, Model, Result, Runtime};

/// Makes models runnable. The sessions that it has made and that are still alive share what was made of constants that
/// they have in common: packed weights take memory once.
#[derive(Default)]
pub struct Interpreter {
    limits: Limits,
    registry: Registry,
}

impl Interpreter {
    /// An interpreter whose sessions keep to these limits.
    pub fn with_limits(limits: Limits) -> Interpreter {
        Interpreter { limits, registry: Registry::default() }
    }

    /// Compiles a verified model.
    ///
    /// # Errors
    /// If an operator is unknown, or its attributes or constants are not as ONNX requires.
    pub fn session(&self, model: &Model) -> Result<Session> {
        Session::compile(model, self.limits, &self.registry)
    }
}

impl Runtime for Interpreter {
    fn compile<'a>(&'a self, model: &Model) -> Result<Box<dyn Executor + 'a>> {
        Ok(Box::new(self.session(model)?))
    }
}
