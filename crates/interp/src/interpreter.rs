//! The interpreter as a runtime.

use crate::context::Limits;
use crate::memory::SharedMemory;
use crate::session::Session;
use crate::sharing::Registry;
use intact8_ir::{Executor, Model, Result, Runtime, ValueRef};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Compiles models to sessions. Its live sessions share kernels with the same constants, so that packed weights are in
/// memory once.
pub struct Interpreter {
    limits: Limits,
    memory: Arc<SharedMemory>,
    registry: Arc<Registry>,
    observer: Option<Box<Observe>>,
}

/// What is called with every model before it is compiled, and with the values that its taps need.
type Observe = dyn Fn(&Model, &BTreeSet<ValueRef>) + Send + Sync;

impl Interpreter {
    /// An interpreter whose sessions have these limits; the memory is that of all runs together.
    pub fn with_limits(limits: Limits) -> Interpreter {
        let memory = SharedMemory::new(limits.memory);
        Interpreter { limits, memory, registry: Arc::default(), observer: None }
    }

    /// The same interpreter; `observer` is called with every model before it is compiled, and with the values that its taps need if
    /// these are known, for logs and counts.
    #[must_use]
    pub fn observed(
        mut self,
        observer: impl Fn(&Model, &BTreeSet<ValueRef>) + Send + Sync + 'static,
    ) -> Interpreter {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Compiles a verified model.
    ///
    /// # Errors
    /// If an operator is unknown, or its attributes or constants are not as ONNX requires.
    pub fn session(&self, model: &Model) -> Result<Session> {
        if let Some(observer) = &self.observer {
            observer(model, &BTreeSet::new());
        }
        Session::compile(model, self.limits, self.memory.clone(), &self.registry)
    }
}

/// An interpreter with the default limits.
impl Default for Interpreter {
    fn default() -> Interpreter {
        Interpreter::with_limits(Limits::default())
    }
}

impl Runtime for Interpreter {
    fn compile<'a>(&'a self, model: &Model) -> Result<Box<dyn Executor + 'a>> {
        Ok(Box::new(self.session(model)?))
    }

    fn compile_watched<'a>(
        &'a self,
        model: &Model,
        watched: &BTreeSet<ValueRef>,
    ) -> Result<Box<dyn Executor + 'a>> {
        if let Some(observer) = &self.observer {
            observer(model, watched);
        }
        let memory = (self.limits, self.memory.clone());
        Ok(Box::new(Session::compile_watched(model, watched, memory, &self.registry)?))
    }
}
