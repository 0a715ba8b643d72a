//! The model of a single node.

use crate::{Graph, Model, Node, NodeId, ValueId};
use std::collections::BTreeMap;

/// The model of one node of `source`, which is one of `model`'s graphs: constant operands come along as constants, every other operand becomes
/// an input, in operand order and under its own name, and the node's outputs become the outputs.
///
/// A value that is read twice, or read and captured, is one input.
pub fn isolate(model: &Model, source: &Graph, node: NodeId) -> Model {
    let mut graph = Graph::new(&source.name);
    let mut copies: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    let operands: Vec<Option<ValueId>> = source
        .operands(node)
        .iter()
        .map(|operand| {
            operand.map(|value| {
                *copies.entry(value).or_insert_with(|| {
                    let copy = match source.constant(value) {
                        Some(tensor) => Node::constant(source.value(value).name.clone(), tensor.clone()),
                        None => Node::input(source.value(value).clone()),
                    };
                    graph.add(copy, &[]).into()
                })
            })
        })
        .collect();
    let original = source.node(node);
    let mut copy = original.clone();
    copy.operands.clear();
    let copy = graph.add(copy, &operands);
    let given = original.outputs.iter().enumerate().filter(|(_, value)| !value.name.is_empty());
    graph.set_outputs(given.map(|(slot, _)| ValueId { node: copy, slot }).collect());
    Model {
        opsets: model.opsets.clone(),
        graph,
        functions: model.functions.clone(),
        origin: model.origin.clone(),
    }
}
