//! Uses and operands of nodes: properties of a graph that many passes need before they change it.

use intact8_ir::{Graph, NodeId, OperatorTrait, Tensor, ValueId};
use std::ops::Range;

/// Whether a value has exactly one use and is not an output of the graph.
pub(crate) fn has_one_use(graph: &Graph, value: ValueId) -> bool {
    graph.users(value).len() == 1 && !graph.outputs().contains(&value)
}

/// Of a node with two operands: the constant one and its slot, if exactly one is constant.
pub(crate) fn constant_operand(graph: &Graph, node: NodeId) -> Option<(usize, &Tensor)> {
    let [Some(left), Some(right)] = *graph.operands(node) else { return None };
    match (graph.constant(left), graph.constant(right)) {
        (Some(tensor), None) => Some((0, tensor)),
        (None, Some(tensor)) => Some((1, tensor)),
        _ => None,
    }
}

/// The slots of the operands whose elements an operation moves or computes with; the others are parameters.
pub(crate) fn data_operands(graph: &Graph, node: NodeId) -> Range<usize> {
    let op = graph.node(node).as_op();
    let are_all = op.is_some_and(|op| op.has(OperatorTrait::AllOperandsAreData));
    0..if are_all { graph.operands(node).len() } else { 1 }
}

/// Removes the operands of a node that is about to be removed, so that it no longer counts as a use of them.
pub(crate) fn detach(graph: &mut Graph, node: NodeId) {
    (0..graph.operands(node).len()).for_each(|slot| graph.set_operand(node, slot, None));
}
