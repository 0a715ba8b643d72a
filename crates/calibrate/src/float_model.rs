//! The prepared model with its executor: the float model is compiled once and shared by all stages.

use crate::memory::MemoryLimit;
use intact8_ir::{Executor, Model, Result, Runtime, ValueRef};
use intact8_quant::Prepared;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A prepared model, compiled by a runtime.
pub struct FloatModel<'a> {
    prepared: &'a Prepared,
    runtime: &'a dyn Runtime,
    /// The inputs of all layers, with the executor whose taps receive them.
    inputs: (BTreeSet<ValueRef>, Arc<dyn Executor + 'a>),
    memory: MemoryLimit,
}

impl<'a> FloatModel<'a> {
    /// Compiles a prepared model.
    ///
    /// # Errors
    /// If the runtime can't run it.
    pub fn new(prepared: &'a Prepared, runtime: &'a dyn Runtime) -> Result<FloatModel<'a>> {
        let model = prepared.model();
        let layers = prepared.layers().iter().map(|(_, layer)| layer);
        let inputs: BTreeSet<ValueRef> = layers.flat_map(|layer| layer.inputs(model)).collect();
        let executor = runtime.compile_watched(model, &inputs)?.into();
        Ok(FloatModel { prepared, runtime, inputs: (inputs, executor), memory: MemoryLimit::default() })
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

    /// The executor of the prepared model; its taps receive at least the inputs of all layers.
    pub fn executor(&self) -> &dyn Executor {
        &*self.inputs.1
    }

    /// An executor of the prepared model whose taps need only some of its values: the same one if these are inputs of layers.
    ///
    /// # Errors
    /// If the runtime can't run it.
    pub fn watched(&self, values: impl IntoIterator<Item = ValueRef>) -> Result<Arc<dyn Executor + 'a>> {
        let (inputs, executor) = &self.inputs;
        let values: BTreeSet<ValueRef> = values.into_iter().collect();
        match values.is_subset(inputs) {
            true => Ok(executor.clone()),
            false => Ok(self.runtime.compile_watched(self.model(), &values)?.into()),
        }
    }

    /// The runtime, which also compiles replayed layers and smoothed and quantized networks.
    pub fn runtime(&self) -> &'a dyn Runtime {
        self.runtime
    }
}
