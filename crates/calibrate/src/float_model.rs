//! The prepared model with its executor: the float model is compiled once and shared by all stages.

use intact8_ir::{Executor, Model, Result, Runtime};
use intact8_quant::Prepared;

/// A prepared model, compiled by a runtime.
pub struct FloatModel<'a> {
    prepared: &'a Prepared,
    runtime: &'a dyn Runtime,
    executor: Box<dyn Executor + 'a>,
}

impl<'a> FloatModel<'a> {
    /// Compiles a prepared model.
    ///
    /// # Errors
    /// If the runtime can't run it.
    pub fn new(prepared: &'a Prepared, runtime: &'a dyn Runtime) -> Result<FloatModel<'a>> {
        Ok(FloatModel { prepared, runtime, executor: runtime.compile(prepared.model())? })
    }

    /// The prepared model with its table of layers.
    pub fn prepared(&self) -> &'a Prepared {
        self.prepared
    }

    /// The prepared model.
    pub fn model(&self) -> &'a Model {
        self.prepared.model()
    }

    /// The executor of the prepared model.
    pub fn executor(&self) -> &dyn Executor {
        &*self.executor
    }

    /// The runtime, which also compiles replayed layers and smoothed and quantized networks.
    pub fn runtime(&self) -> &'a dyn Runtime {
        self.runtime
    }
}
