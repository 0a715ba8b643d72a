//! The lowered form of a model: what the interpreter runs when nobody watches the values.
//!
//! Passes merge nodes that one kernel computes, and choose the order of channels in memory. The merged nodes are in the domain
//! [`DOMAIN`], which no file may use; their kernels are in `ops/lowered/`. Results differ from those of the original by no more
//! than the rounding of floats: a region of quantized operators computes with integers what the floats between its
//! DequantizeLinear and QuantizeLinear stand for.
//!
//! Nothing is computed here but small tables; which kernel a merged node uses is decided when it is compiled.

mod activation;
mod blocked;
mod byte_pools;
mod byte_products;
mod byte_sums;
mod byte_tables;
mod chains;
mod float_products;
mod moved_bytes;
mod quantized;
mod slices;
mod transposes;

use crate::fold_constants::{FoldCompiled, QuantizeConstants};
use intact8_ir::{Error, Graph, Model, Node, NodeId, Op, Pipeline, Result, Value, ValueId};

/// The domain of operators that only lowered models have.
pub(crate) const DOMAIN: &str = "intact8.lowered";

/// The lowered form of a verified model; `None` if there is nothing to lower.
///
/// # Errors
/// If the model uses the domain, or a pass fails.
pub(crate) fn lower(model: &Model) -> Result<Option<Model>> {
    let mut changed = false;
    let mut lowered = model.clone();
    if lowered.opsets.insert(DOMAIN.to_owned(), 1).is_some() {
        return Err(Error::unsupported(format!(
            "the domain {DOMAIN} is that of lowered models; use another"
        )));
    }
    for pass in passes().0 {
        changed |= pass.run(&mut lowered).map_err(|error| error.at(format!("in {}", pass.name())))?;
    }
    Ok(changed.then_some(lowered))
}

/// The passes, in order.
pub(crate) fn passes() -> Pipeline<'static> {
    Pipeline(vec![
        Box::new(QuantizeConstants),
        Box::new(byte_products::FuseByteProducts),
        Box::new(byte_sums::FuseByteSums),
        Box::new(byte_pools::FuseBytePools),
        Box::new(byte_tables::TabulateByteFunctions),
        Box::new(moved_bytes::MoveBytes),
        Box::new(transposes::SinkTransposes),
        Box::new(FoldCompiled),
        Box::new(slices::MergeSlices),
        Box::new(blocked::BlockChannels),
        Box::new(float_products::FuseFloatProducts),
        Box::new(chains::FuseChains),
    ])
}

/// Applies a rule to each node of every graph, in topological order; the rule returns whether it has changed the graph. Nodes that
/// nothing uses any more are removed at the end.
fn rewrite(model: &mut Model, mut rule: impl FnMut(&mut Graph, NodeId) -> bool) -> Result<bool> {
    let mut changed = false;
    model.try_for_each_graph(|_, graph| {
        for id in graph.topo() {
            changed |= rule(graph, id);
        }
        Ok(())
    })?;
    model.remove_dead();
    Ok(changed)
}

/// An operator of the domain.
fn lowered_op(name: &str) -> Op {
    Op { domain: DOMAIN.to_owned(), ..Op::new(name) }
}

/// Adds a node whose result takes the place of `value`, with its name, and which is called as the node `like`.
fn replace(graph: &mut Graph, value: ValueId, like: NodeId, op: Op, operands: &[Option<ValueId>]) -> NodeId {
    let old = &mut graph.node_mut(value.node).outputs[value.slot];
    let result = Value { name: std::mem::take(&mut old.name), ..Value::default() };
    let label = graph.node(like).name.clone();
    let new = graph.add(Node::op(&label, op, [result]), operands);
    graph.replace_uses(value, new.into());
    new
}

#[cfg(test)]
mod tests;
