//! The model of a single node.

use crate::{GraphId, Model, Node, NodeId, Op, ValueId};
use std::collections::BTreeMap;

/// The model of one node of one of `model`'s graphs: constant operands are copied as constants, every other operand
/// becomes an input, in operand order and under its own name, and the node's outputs become the outputs.
///
/// A value with two uses, or one that is used and captured, is one input. The functions are copied if the node or one of
/// its subgraphs calls one.
pub fn isolate(model: &Model, graph: GraphId, node: NodeId) -> Model {
    let source = model.graph(graph);
    let mut alone = Model::new(&source.name, 0);
    (alone.opsets, alone.origin) = (model.opsets.clone(), model.origin.clone());
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
                    alone.main_mut().add(copy, &[]).into()
                })
            })
        })
        .collect();
    let copy = alone.copy_of(model, crate::NodeRef { graph, node });
    let copy = alone.add(GraphId::MAIN, copy, &operands);
    let outputs = source.node(node).outputs.iter().enumerate().filter(|(_, value)| !value.name.is_empty());
    alone.main_mut().set_outputs(outputs.map(|(slot, _)| ValueId { node: copy, slot }).collect());
    if calls_function(&alone, model) {
        for function in &model.functions {
            let body = alone.copy_graph(model, function.body);
            let mut function = crate::Function { body, ..function.clone() };
            let graphs = function.attrs.values_mut().flatten().flat_map(crate::Attr::graphs_mut);
            graphs.for_each(|id| *id = alone.copy_graph(model, *id));
            alone.functions.push(function);
        }
    }
    alone
}

/// Whether an operation of one model is a function of another.
fn calls_function(model: &Model, other: &Model) -> bool {
    let is_call = |op: &Op| other.function(&op.domain, &op.name, &op.overload).is_some();
    let mut nodes = model.graphs().flat_map(|(_, graph)| graph.dag().node_weights());
    !other.functions.is_empty() && nodes.any(|node| node.as_op().is_some_and(is_call))
}
