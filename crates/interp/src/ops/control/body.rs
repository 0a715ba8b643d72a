//! A subgraph that runs once or many times, and its collected outputs.

use crate::call::Call;
use crate::data::{Data, Sequence};
use crate::op::CompileContext;
use crate::program::Subgraph;
use intact8_ir::{Error, Result, Type};

/// A subgraph.
pub(super) struct Body {
    subgraph: Subgraph,
    /// The types of the outputs in the model.
    types: Vec<Option<Type>>,
}

impl Body {
    /// The subgraph of an attribute.
    pub(super) fn of(ctx: &CompileContext<'_>, name: &str) -> Result<Body> {
        let subgraph = ctx.subgraph(name)?;
        let graph = ctx.graph(name)?;
        let types = graph.map_or(vec![], |graph| {
            graph.outputs().iter().map(|&value| graph.value(value).ty.clone()).collect()
        });
        Ok(Body { subgraph, types })
    }

    pub(super) fn n_inputs(&self) -> usize {
        self.subgraph.program.inputs.len()
    }

    pub(super) fn n_outputs(&self) -> usize {
        self.subgraph.program.outputs.len()
    }

    /// The type of an output in the model.
    pub(super) fn output_type(&self, output: usize) -> Option<&Type> {
        self.types.get(output)?.as_ref()
    }

    /// Runs the subgraph and returns one item for each output.
    pub(super) fn run(&self, inputs: Vec<Data>, call: &Call<'_, '_>) -> Result<Vec<Data>> {
        if inputs.len() != self.n_inputs() {
            let (expected, found) = (self.n_inputs(), inputs.len());
            return Err(Error::invalid_model(format!(
                "the subgraph has {expected} inputs, but gets {found}"
            )));
        }
        call.context.step()?;
        let outputs = self.subgraph.run(inputs, call)?;
        if outputs.len() != self.n_outputs() {
            return Err(Error::invalid_model("an output of the subgraph is missing"));
        }
        Ok(outputs)
    }
}

/// The outputs that are collected over all runs.
pub(super) struct Collected {
    /// For each output, the items in order of the runs.
    items: Vec<Vec<Data>>,
    n_bytes: u64,
}

impl Collected {
    pub(super) fn new(n_outputs: usize) -> Collected {
        Collected { items: vec![vec![]; n_outputs], n_bytes: 0 }
    }

    /// Adds one item for each output.
    pub(super) fn keep(
        &mut self,
        outputs: impl IntoIterator<Item = Data>,
        call: &Call<'_, '_>,
    ) -> Result<()> {
        for (collected, item) in self.items.iter_mut().zip(outputs) {
            let n_bytes = item.byte_size().saturating_add(Sequence::overhead(1));
            call.context.reserve(n_bytes)?;
            call.context.allocated(n_bytes);
            self.n_bytes += n_bytes;
            collected.push(item);
        }
        Ok(())
    }

    /// The items; the caller counts their memory from then on.
    pub(super) fn finish(self, call: &Call<'_, '_>) -> Vec<Vec<Data>> {
        call.context.freed(self.n_bytes);
        self.items
    }
}
