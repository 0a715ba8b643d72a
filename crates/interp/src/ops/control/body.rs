//! A subgraph that runs once or many times, and what is kept of each run.

use crate::call::Call;
use crate::data::Data;
use crate::op::Site;
use crate::program::{Source, Subgraph};
use quantfit_ir::{Error, Result, Type};

/// A subgraph, and what it does with the memory of what it is given.
///
/// Its steps count what they make as coming alive and what they read last as dying. Here that is balanced for what
/// enters and leaves, so that a loop of any length uses as much as one iteration.
pub(super) struct Body {
    subgraph: Subgraph,
    /// Of the inputs and then the captures: whether a step reads it last.
    used_up: Vec<bool>,
    /// Of the outputs: whether a step made it, and nothing else is that output.
    made: Vec<bool>,
    /// Of the outputs: what the model says of them.
    types: Vec<Option<Type>>,
}

impl Body {
    /// The subgraph of an attribute.
    pub(super) fn of(site: &Site<'_>, name: &str) -> Result<Body> {
        let subgraph = site.subgraph(name)?;
        let program = &subgraph.program;
        let n_given = program.inputs.len() + program.captures.len();
        let last = |source: &Source| match source {
            Source::Slot { slot, is_last: true } => Some(*slot),
            _ => None,
        };
        let mut used_up = vec![false; n_given];
        let read = program.steps.iter().flat_map(|step| &step.operands).filter_map(last);
        read.filter(|slot| *slot < n_given).for_each(|slot| used_up[slot] = true);
        let made =
            program.outputs.iter().map(|source| last(source).is_some_and(|slot| slot >= n_given)).collect();
        let graph = site.op.graph(name)?;
        let types = graph.map_or(vec![], |graph| {
            graph.outputs().iter().map(|&value| graph.value(value).ty.clone()).collect()
        });
        Ok(Body { subgraph, used_up, made, types })
    }

    pub(super) fn n_inputs(&self) -> usize {
        self.subgraph.program.inputs.len()
    }

    pub(super) fn n_outputs(&self) -> usize {
        self.subgraph.program.outputs.len()
    }

    /// What the model says of an output.
    pub(super) fn output_type(&self, output: usize) -> Option<&Type> {
        self.types.get(output)?.as_ref()
    }

    /// Runs the subgraph; there is one item for each output.
    pub(super) fn run(&self, inputs: Vec<Data>, call: &Call<'_, '_>) -> Result<Vec<Data>> {
        if inputs.len() != self.n_inputs() {
            let (expected, found) = (self.n_inputs(), inputs.len());
            return Err(Error::invalid_model(format!(
                "the subgraph has {expected} inputs, but gets {found}"
            )));
        }
        call.context.step()?;
        let captures = call.operands[self.subgraph.captures.clone()].iter().flatten();
        call.context.born(size_of_some(inputs.iter().chain(captures), &self.used_up));
        let outputs = self.subgraph.run(inputs, call)?;
        call.context.died(size_of_some(outputs.iter(), &self.made));
        if outputs.len() != self.n_outputs() {
            return Err(Error::invalid_model("an output of the subgraph is left out"));
        }
        Ok(outputs)
    }
}

fn size_of_some<'a>(items: impl Iterator<Item = &'a Data>, which: &[bool]) -> u64 {
    items.zip(which).filter(|(_, counts)| **counts).map(|(item, _)| item.byte_size()).sum()
}

/// What is kept of each run until all are done.
pub(super) struct Collected {
    /// By output, in order of the runs.
    items: Vec<Vec<Data>>,
    n_bytes: u64,
}

impl Collected {
    pub(super) fn new(n_outputs: usize) -> Collected {
        Collected { items: vec![vec![]; n_outputs], n_bytes: 0 }
    }

    /// Keeps one item for each output.
    pub(super) fn keep(
        &mut self,
        outputs: impl IntoIterator<Item = Data>,
        call: &Call<'_, '_>,
    ) -> Result<()> {
        for (kept, item) in self.items.iter_mut().zip(outputs) {
            let n_bytes = item.byte_size();
            call.context.reserve(n_bytes)?;
            call.context.born(n_bytes);
            self.n_bytes += n_bytes;
            kept.push(item);
        }
        Ok(())
    }

    /// The items; from here on they are the caller's to count.
    pub(super) fn finish(self, call: &Call<'_, '_>) -> Vec<Vec<Data>> {
        call.context.died(self.n_bytes);
        self.items
    }
}
