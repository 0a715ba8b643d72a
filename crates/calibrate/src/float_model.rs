//! The prepared model with its executor: the float model is compiled once and shared by all stages.

use crate::memory::MemoryLimit;
use intact8_ir::{Executor, Model, Result, Runtime};
use intact8_quant::Prepared;

/// A prepared model, compiled by a runtime.
pub struct FloatModel<'a> {
    prepared: &'a Prepared,
    runtime: &'a dyn Runtime,
    executor: Box<dyn Executor + 'a>,
    memory: MemoryLimit,
}

impl<'a> FloatModel<'a> {
    /// Compiles a prepared model.
    ///
    /// # Errors
    /// If the runtime can't run it.
    pub fn new(prepared: &'a Prepared, runtime: &'a dyn Runtime) -> Result<FloatModel<'a>> {
        let executor = runtime.compile(prepared.model())?;
        Ok(FloatModel { prepared, runtime, executor, memory: MemoryLimit::default() })
    }

    /// The same model with another limit of the memory that the stages of calibration take.
    #[must_use]
    pub fn with_memory(self, memory: MemoryLimit) -> FloatModel<'a> {
        FloatModel { memory, ..self }
    }

    /// The limit of the memory that the stages of calibration take.
    pub fn memory(&self) -> MemoryLimit {
        self.memory
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
