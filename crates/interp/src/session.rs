//! A compiled model.

use crate::compile::{Compiler, Form};
use crate::context::{Context, Limits};
use crate::data::Data;
use crate::lower::lower;
use crate::memory::SharedMemory;
use crate::profiler::Profiler;
use crate::program::Program;
use crate::samples::SampleAxes;
use crate::sharing::{Kernels, Registry, Sharing};
use crate::watched::{Watched, lower_watched};
use intact8_ir::{BatchPart, Error, Executor, Model, NodeKind, Result, Tap, Tensor, TensorType, ValueRef};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

/// A compiled model. It is independent of the model, with which it shares the constants.
///
/// A session may run many times, on inputs of different shapes, and in several threads at once. What runs is the
/// [lowered](Session::lowered) form of the model; a run that is watched by a tap runs the model as it is written, which is compiled
/// for the first such run.
pub struct Session {
    compiled: Compiled,
    /// How to compile the model as it is written; `None` if that is what is compiled.
    written: Option<Written>,
    limits: Limits,
    /// That of all runs, also of other sessions of an interpreter.
    memory: Arc<SharedMemory>,
    inputs: Vec<Input>,
    outputs: Vec<String>,
    /// How the samples of a batch are told apart, if they do not influence each other.
    samples: Option<SampleAxes>,
}

/// A program and its kernels.
struct Compiled {
    program: Program,
    /// Owned, so that other sessions find them.
    #[cfg_attr(not(test), expect(dead_code, reason = "the registry holds weak references to them"))]
    kernels: Kernels,
}

/// A model that is compiled once a run is watched.
struct Written {
    model: Model,
    registry: Arc<Registry>,
    compiled: OnceLock<Compiled>,
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
        Session::compile(model, limits, SharedMemory::new(limits.memory), &Arc::default())
    }

    /// Compiles a verified model as it is written, node by node: the reference for lowering.
    pub fn as_written(model: &Model, limits: Limits) -> Result<Session> {
        Session::compile_as_written(model, limits, SharedMemory::new(limits.memory), &Registry::default())
    }

    pub(crate) fn compile_as_written(
        model: &Model,
        limits: Limits,
        memory: Arc<SharedMemory>,
        registry: &Registry,
    ) -> Result<Session> {
        let compiled = Compiled::of(model, limits, &memory, registry, Form::Written)?;
        Ok(Session::with(compiled, None, model, limits, memory))
    }

    /// Compiles a verified model of which taps need only some values: what runs is lowered between them.
    pub(crate) fn compile_watched(
        model: &Model,
        watched: &BTreeSet<ValueRef>,
        (limits, memory): (Limits, Arc<SharedMemory>),
        registry: &Arc<Registry>,
    ) -> Result<Session> {
        let Some((lowered, watched)) = lower_watched(model, watched)? else {
            return Session::compile(model, limits, memory, registry);
        };
        let compiled = Compiled::of(&lowered, limits, &memory, registry, Form::Lowered(&watched))?;
        Ok(Session::with(compiled, None, model, limits, memory))
    }

    /// Compiles a model that tests have lowered.
    #[cfg(test)]
    pub(crate) fn of_lowered(lowered: &Model) -> Result<Session> {
        let limits = Limits::default();
        let memory = SharedMemory::new(limits.memory);
        let compiled =
            Compiled::of(lowered, limits, &memory, &Registry::default(), Form::Lowered(&Watched::new()))?;
        Ok(Session::with(compiled, None, lowered, limits, memory))
    }

    /// The lowered form of a verified model: nodes that compute together are one, quantized operators compute on integers, and
    /// channels may be in another order.
    ///
    /// # Errors
    /// If the model has operators of lowered models already.
    pub fn lowered(model: &Model) -> Result<Model> {
        Ok(lower(model)?.unwrap_or_else(|| model.clone()))
    }

    /// Compiles a verified model; kernels of live sessions in the registry with the same attributes and constants are
    /// shared.
    pub(crate) fn compile(
        model: &Model,
        limits: Limits,
        memory: Arc<SharedMemory>,
        registry: &Arc<Registry>,
    ) -> Result<Session> {
        let lowered = lower(model)?;
        let is_lowered = lowered.is_some();
        let unwatched = Watched::new();
        let form = if is_lowered { Form::Lowered(&unwatched) } else { Form::Written };
        let compiled = Compiled::of(lowered.as_ref().unwrap_or(model), limits, &memory, registry, form)?;
        let written =
            || Written { model: model.clone(), registry: registry.clone(), compiled: OnceLock::new() };
        Ok(Session::with(compiled, is_lowered.then(written), model, limits, memory))
    }

    fn with(
        compiled: Compiled,
        written: Option<Written>,
        model: &Model,
        limits: Limits,
        memory: Arc<SharedMemory>,
    ) -> Session {
        let graph = model.main();
        let outputs = graph.outputs().iter().map(|&value| graph.value(value).name.clone()).collect();
        let samples = SampleAxes::of(model);
        Session { compiled, written, limits, memory, inputs: Input::all_of(model), outputs, samples }
    }

    /// What runs, with or without a tap.
    fn compiled(&self, is_watched: bool) -> Result<&Compiled> {
        let Some(written) = self.written.as_ref().filter(|_| is_watched) else { return Ok(&self.compiled) };
        if let Some(compiled) = written.compiled.get() {
            return Ok(compiled);
        }
        let Written { model, registry, compiled } = written;
        let fresh = Compiled::of(model, self.limits, &self.memory, registry, Form::Written)?;
        Ok(compiled.get_or_init(|| fresh))
    }

    #[cfg(test)]
    pub(crate) fn kernels(&self) -> &Kernels {
        &self.compiled.kernels
    }

    #[cfg(test)]
    pub(crate) fn samples(&self) -> Option<&SampleAxes> {
        self.samples.as_ref()
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
        let program = &self.compiled(context.is_watched())?.program;
        match self.samples.as_ref().filter(|_| !context.is_followed()) {
            Some(samples) => samples.run(inputs, |part| program.run(part, [], &self.context(None))),
            None => program.run(inputs, [], context),
        }
    }
}

impl Compiled {
    fn of(
        model: &Model,
        limits: Limits,
        memory: &Arc<SharedMemory>,
        registry: &Registry,
        form: Form<'_>,
    ) -> Result<Compiled> {
        let sharing = Sharing::with(registry);
        let program = Compiler::model(model, limits, memory.clone(), &sharing, form)?;
        Ok(Compiled { program, kernels: sharing.finish() })
    }
}

impl Executor for Session {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Session::run(self, inputs)
    }

    fn run_tapped(&self, inputs: &[Tensor], tap: Tap<'_>) -> Result<Vec<Tensor>> {
        Session::run_tapped(self, inputs, tap)
    }

    fn parts(&self, inputs: &[Tensor]) -> Vec<BatchPart> {
        let parts = self.samples.as_ref().and_then(|samples| samples.parts(inputs));
        parts.unwrap_or_else(|| vec![BatchPart::whole(inputs)])
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
