//! A compiled model.

use crate::compile::Compiler;
use crate::context::{Context, Limits};
use crate::data::Data;
use crate::memory::SharedMemory;
use crate::profiler::Profiler;
use crate::program::Program;
use crate::sharing::{Kernels, Registry, Sharing};
use intact8_ir::{Error, Executor, Model, NodeKind, Result, Tap, Tensor, TensorType};
use std::sync::Arc;

/// A compiled model. It is independent of the model, with which it shares the constants.
///
/// A session may run many times, on inputs of different shapes, and in several threads at once.
pub struct Session {
    program: Program,
    /// Owned, so that other sessions find them.
    #[cfg_attr(not(test), expect(dead_code, reason = "the registry holds weak references to them"))]
    kernels: Kernels,
    limits: Limits,
    /// That of all runs, also of other sessions of an interpreter.
    memory: Arc<SharedMemory>,
    inputs: Vec<Input>,
    outputs: Vec<String>,
}

/// An input of a session.
#[derive(Debug, Clone)]
pub struct Input {
    /// The name in the model.
    pub name: String,
    /// The type, if the model states a tensor type.
    pub ty: Option<TensorType>,
    /// Whether it may be absent.
    pub has_default: bool,
}

impl Session {
    /// Compiles a verified model, with the default limits.
    pub fn new(model: &Model) -> Result<Session> {
        Session::with_limits(model, Limits::default())
    }

    /// Compiles a verified model.
    pub fn with_limits(model: &Model, limits: Limits) -> Result<Session> {
        Session::compile(model, limits, SharedMemory::new(limits.memory), &Registry::default(), false)
    }

    /// Compiles a verified model; kernels of live sessions in the registry with the same attributes and constants are
    /// shared. `is_lowered` says whether the model is [lowered](crate::lower::lower).
    pub(crate) fn compile(
        model: &Model,
        limits: Limits,
        memory: Arc<SharedMemory>,
        registry: &Registry,
        is_lowered: bool,
    ) -> Result<Session> {
        let graph = model.main();
        let sharing = Sharing::with(registry);
        Ok(Session {
            program: Compiler::model(model, limits, memory.clone(), &sharing, is_lowered)?,
            kernels: sharing.finish(),
            limits,
            memory,
            inputs: Input::all_of(model),
            outputs: graph.outputs().iter().map(|&value| graph.value(value).name.clone()).collect(),
        })
    }

    #[cfg(test)]
    pub(crate) fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// The inputs, in order.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The names of the outputs, in order.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// Runs the model on one tensor for each input, in order. Inputs with a default may be omitted at the end. Outputs that are
    /// sequences or optional values are left out; [`run_data`](Self::run_data) returns them.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        self.run_with(inputs, None)
    }

    /// As [`run`](Self::run), and calls `tap` for every tensor as soon as it is computed, also in subgraphs: first the
    /// inputs, then the others in the order of execution, without the constants of the model. An error of `tap` ends
    /// the run.
    pub fn run_tapped(&self, inputs: &[Tensor], tap: Tap<'_>) -> Result<Vec<Tensor>> {
        self.run_with(inputs, Some(tap))
    }

    fn run_with(&self, inputs: &[Tensor], tap: Option<Tap<'_>>) -> Result<Vec<Tensor>> {
        let inputs = inputs.iter().map(|tensor| Some(Data::Tensor(tensor.clone()))).collect();
        Ok(self.run_data(inputs, tap)?.into_iter().filter_map(Data::tensor).collect())
    }

    /// As [`run`](Self::run), and calls `profiler` before and after every node.
    pub fn run_profiled(&self, inputs: &[Tensor], profiler: &mut dyn Profiler) -> Result<Vec<Tensor>> {
        let inputs = inputs.iter().map(|tensor| Some(Data::Tensor(tensor.clone()))).collect();
        let outputs = self.run_in(inputs, &self.context(None).profiled(profiler))?;
        Ok(outputs.into_iter().filter_map(Data::tensor).collect())
    }

    /// Runs the model on values of any kind, one for each input; `None`, and omitted inputs at the end, select the
    /// default.
    pub fn run_data(&self, inputs: Vec<Option<Data>>, tap: Option<Tap<'_>>) -> Result<Vec<Data>> {
        self.run_in(inputs, &self.context(tap))
    }

    fn context<'a>(&self, tap: Option<Tap<'a>>) -> Context<'a> {
        Context::new(self.limits, self.memory.clone(), tap)
    }

    fn run_in(&self, mut inputs: Vec<Option<Data>>, context: &Context<'_>) -> Result<Vec<Data>> {
        if inputs.len() > self.inputs.len() {
            let (expected, found) = (self.inputs.len(), inputs.len());
            return Err(Error::invalid_data(format!("the model has {expected} inputs, but {found} are fed")));
        }
        inputs.resize(self.inputs.len(), None);
        self.inputs.iter().zip(&inputs).try_for_each(|(input, item)| input.check(item.as_ref()))?;
        self.program.run(inputs, [], context)
    }
}

impl Executor for Session {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Session::run(self, inputs)
    }

    fn run_tapped(&self, inputs: &[Tensor], tap: Tap<'_>) -> Result<Vec<Tensor>> {
        Session::run_tapped(self, inputs, tap)
    }
}

impl Input {
    /// The inputs of a model, in order.
    pub fn all_of(model: &Model) -> Vec<Input> {
        let input = |&id| {
            let node = model.main().node(id);
            let value = &node.outputs[0];
            let has_default = !matches!(node.kind, NodeKind::Input(None));
            Input { name: value.name.clone(), ty: value.tensor_type().cloned(), has_default }
        };
        model.main().inputs().iter().map(input).collect()
    }

    fn check(&self, item: Option<&Data>) -> Result<()> {
        let at = |error: Error| error.at(&self.name);
        match (item, &self.ty) {
            (None, _) if !self.has_default => Err(at(Error::invalid_data("the input is missing"))),
            (Some(Data::Tensor(tensor)), Some(ty)) if !ty.admits(tensor.dtype(), tensor.shape()) => {
                let found = TensorType::fixed(tensor.dtype(), tensor.shape());
                Err(at(Error::invalid_data(format!("the input must be {ty}, found {found}"))))
            }
            (Some(other), Some(ty)) if !matches!(other, Data::Tensor(_)) => {
                Err(at(Error::invalid_data(format!("the input must be {ty}, found {}", other.what()))))
            }
            _ => Ok(()),
        }
    }
}
