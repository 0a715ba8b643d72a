//! A compiled graph: an ordered list of steps, each with its kernel, the sources of its operands and the destinations
//! of its outputs.

use crate::call::Call;
use crate::context::Context;
use crate::data::Data;
use crate::op::{Kernel, Operand, Outputs};
use intact8_ir::{DType, Error, Result, Tensor, ValueRef};
use smallvec::SmallVec;
use std::sync::Arc;

/// A compiled graph.
pub(crate) struct Program {
    pub(crate) inputs: Vec<Feed>,
    /// The slots of captured values, in the graph's order.
    pub(crate) captures: Vec<usize>,
    /// The constants that were folded when the graph was compiled, for observers.
    pub(crate) folded: Vec<(ValueRef, Tensor)>,
    pub(crate) steps: Vec<Step>,
    pub(crate) outputs: Vec<Source>,
    pub(crate) n_slots: usize,
    /// The slots of inputs and captures whose last use is in a step.
    pub(crate) used_up: Vec<usize>,
}

/// An input: its slot, and its default value.
pub(crate) struct Feed {
    pub(crate) slot: usize,
    pub(crate) default: Option<Tensor>,
    /// The value for observers; `None` in function bodies.
    pub(crate) value: Option<ValueRef>,
}

/// A compiled node.
pub(crate) struct Step {
    /// The name of the node in errors.
    pub(crate) label: String,
    /// The name of the operator, with the domain if it is not ONNX's own.
    pub(crate) operator: String,
    /// The version of the operator's domain.
    pub(crate) opset: i64,
    /// The element types of the first operand; empty for any.
    pub(crate) types: &'static [DType],
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) operands: SmallVec<[Source; 4]>,
    pub(crate) outputs: SmallVec<[Destination; 1]>,
}

/// The source of an operand or of a graph's output.
#[derive(Clone)]
pub(crate) enum Source {
    /// The optional input is absent.
    Nothing,
    /// A slot, and whether this is its last use.
    Slot { slot: usize, is_last: bool },
    /// The operand is constant.
    Constant(Tensor),
}

/// The destination of an output.
pub(crate) struct Destination {
    /// Its slot, if it has uses.
    pub(crate) slot: Option<usize>,
    /// The value for observers; `None` for absent outputs and in function bodies.
    pub(crate) value: Option<ValueRef>,
}

impl Program {
    /// Runs the graph on one value for each input, in order; `None` selects the default.
    ///
    /// Steps count their outputs as allocated and the operands at their last use as freed. Inputs and outputs of the
    /// graph are counted by the caller.
    pub(crate) fn run(
        &self,
        inputs: impl IntoIterator<Item = Option<Data>>,
        captures: impl IntoIterator<Item = Data>,
        context: &Context<'_>,
    ) -> Result<Vec<Data>> {
        let mut slots: Vec<Option<Data>> = vec![None; self.n_slots];
        for (&slot, item) in self.captures.iter().zip(captures) {
            slots[slot] = Some(item);
        }
        for (feed, item) in self.inputs.iter().zip(inputs) {
            let item = item.or_else(|| feed.default.clone().map(Data::Tensor));
            let item = item.ok_or_else(|| Error::invalid_data("an input of a subgraph is missing"))?;
            watch(context, feed.value, &item)?;
            slots[feed.slot] = Some(item);
        }
        let alive = context.alive();
        context.allocated(
            self.used_up.iter().filter_map(|&slot| slots[slot].as_ref()).map(Data::byte_size).sum(),
        );
        self.folded.iter().try_for_each(|(value, tensor)| context.tap(*value, tensor))?;
        for step in &self.steps {
            step.run(&mut slots, context).map_err(|error| error.at(&step.label))?;
        }
        context.rewind(alive);
        Ok(self.outputs.iter().filter_map(|source| source.fetch(&mut slots)).collect())
    }
}

impl Step {
    fn run(&self, slots: &mut [Option<Data>], context: &Context<'_>) -> Result<()> {
        let mut outputs = self.execute(slots, context)?.into_iter();
        for made in &self.outputs {
            let Some(item) = outputs.next() else {
                if made.slot.is_none() {
                    continue;
                }
                let what = self.describe();
                return Err(Error::unsupported(format!("{what} does not have that many outputs")));
            };
            watch(context, made.value, &item)?;
            match (made.slot, item) {
                (Some(slot), item) => {
                    context.allocated(item.byte_size());
                    slots[slot] = Some(item);
                }
                // Only a tap has received it.
                (None, Data::Tensor(tensor)) => context.buffer_pool.add_tensor(tensor),
                (None, _) => {}
            }
        }
        Ok(())
    }

    /// Runs the kernel.
    pub(crate) fn execute(&self, slots: &mut [Option<Data>], context: &Context<'_>) -> Result<Outputs> {
        context.step()?;
        let operands: SmallVec<[Option<Data>; 4]> =
            self.operands.iter().map(|source| source.fetch(slots)).collect();
        if let Some(Some(Data::Tensor(first))) = operands.first()
            && !self.types.is_empty()
            && !self.types.contains(&first.dtype())
        {
            return Err(Error::unsupported(format!(
                "no kernel for {} with {}",
                self.describe(),
                first.dtype()
            )));
        }
        let is_last = |source: &Source| matches!(source, Source::Slot { is_last: true, .. });
        let sizes = self.operands.iter().zip(&operands).filter(|(source, _)| is_last(source));
        let freed = sizes.map(|(_, item)| item.as_ref().map_or(0, Data::byte_size)).sum();
        let mut call = Call { operands, context };
        let reserved = context.reserved();
        context.profile(|profiler| profiler.begin(&self.label, &self.operator, &call.operands));
        let outputs = (self.kernel)(&mut call);
        context.release(reserved);
        let outputs = outputs?;
        for (source, operand) in self.operands.iter().zip(call.operands) {
            if let Some(Data::Tensor(tensor)) = operand.filter(|_| is_last(source)) {
                context.buffer_pool.add_tensor(tensor);
            }
        }
        context.freed(freed);
        context.profile(|profiler| profiler.end(&outputs));
        Ok(outputs)
    }

    /// The operator in errors.
    fn describe(&self) -> String {
        format!("op {} of opset {}", self.operator, self.opset)
    }
}

impl Source {
    /// Whether it is constant or absent.
    pub(crate) fn is_constant(&self) -> bool {
        !matches!(self, Source::Slot { .. })
    }

    /// The knowledge about it before the graph runs.
    pub(crate) fn known(&self) -> Operand<'_> {
        match self {
            Source::Nothing => Operand::Absent,
            Source::Slot { .. } => Operand::Computed,
            Source::Constant(tensor) => Operand::Constant(tensor),
        }
    }

    fn fetch(&self, slots: &mut [Option<Data>]) -> Option<Data> {
        match self {
            Source::Nothing => None,
            Source::Slot { slot, is_last: true } => slots[*slot].take(),
            Source::Slot { slot, is_last: false } => slots[*slot].clone(),
            Source::Constant(tensor) => Some(Data::Tensor(tensor.clone())),
        }
    }
}

fn watch(context: &Context<'_>, value: Option<ValueRef>, item: &Data) -> Result<()> {
    match (value, item) {
        (Some(value), Data::Tensor(tensor)) => context.tap(value, tensor),
        _ => Ok(()),
    }
}

/// A subgraph of a node, with the operands that it captures.
pub(crate) struct Subgraph {
    pub(crate) program: Program,
    /// The range of the node's operands that are captured.
    pub(crate) captures: std::ops::Range<usize>,
}

impl Subgraph {
    /// Runs the subgraph on `inputs`.
    pub(crate) fn run(
        &self,
        inputs: impl IntoIterator<Item = Data>,
        call: &Call<'_, '_>,
    ) -> Result<Vec<Data>> {
        let captures = call.operands[self.captures.clone()].iter().flatten().cloned();
        self.program.run(inputs.into_iter().map(Some), captures, call.context)
    }
}
