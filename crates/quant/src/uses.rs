//! Uses and operands of nodes: properties of a graph that many passes need before they change it.

use crate::names::Names;
use crate::qdq_params::QdqParams;
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

/// A use of a value by a node in a slot, or, if it is `None`, as an output of the graph.
pub(crate) type Use = Option<(NodeId, usize)>;

/// The uses of a value that are no quantization of it.
pub(crate) fn float_uses(graph: &Graph, value: ValueId) -> Vec<Use> {
    uses_but(graph, value, |user| graph.node(user).is("QuantizeLinear"))
}

/// The uses of a value that are not its quantization with those parameters.
pub(crate) fn other_uses(graph: &Graph, value: ValueId, params: &QdqParams) -> Vec<Use> {
    uses_but(graph, value, |user| QdqParams::of_quantize(graph, user).is_some_and(|found| found == *params))
}

fn uses_but(graph: &Graph, value: ValueId, is_left_out: impl Fn(NodeId) -> bool) -> Vec<Use> {
    let users = graph.users(value).into_iter().filter(|&(user, _)| !is_left_out(user)).map(Some);
    users.chain(graph.outputs().contains(&value).then_some(None)).collect()
}

/// Makes some uses of a value use a new one; an output of the graph keeps its name.
pub(crate) fn replace(graph: &mut Graph, value: ValueId, new: ValueId, uses: &[Use], names: &mut Names) {
    for used in uses {
        if let Some((user, slot)) = *used {
            graph.set_operand(user, slot, Some(new));
            continue;
        }
        let label = graph.value(value).name.clone();
        let inner = names.fresh(&format!("{label}.float"));
        let name = std::mem::replace(&mut graph.node_mut(value.node).outputs[value.slot].name, inner);
        graph.node_mut(new.node).outputs[new.slot].name = name;
        let replaced = |&output: &ValueId| if output == value { new } else { output };
        let outputs = graph.outputs().iter().map(replaced).collect();
        graph.set_outputs(outputs);
    }
}
