//! What is around a value in the graph: the values that it is computed from, the activation functions after it, and the layers that
//! use its integers.

use intact8_ir::{Graph, Model, NodeId, ValueId, ValueRef};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The bounds of the activation functions after values of a float model, by name of the value: those whose every use is a Relu or a
/// Clip. Of several functions the widest bounds are taken.
pub(super) fn activation_bounds(model: &Model) -> HashMap<String, [f64; 2]> {
    let mut found = HashMap::new();
    for (_, graph) in model.graphs() {
        for node in graph.node_ids() {
            for slot in 0..graph.node(node).outputs.len() {
                let value = ValueId { node, slot };
                let users = graph.users(value);
                if users.is_empty() || graph.outputs().contains(&value) {
                    continue;
                }
                let bounds = users.into_iter().map(|(user, slot)| bounds(graph, user, slot));
                let widest = bounds.reduce(|a, b| a.zip(b).map(|(a, b)| [a[0].min(b[0]), a[1].max(b[1])]));
                if let Some(bounds) = widest.flatten() {
                    found.insert(graph.value(value).name.clone(), bounds);
                }
            }
        }
    }
    found
}

/// The bounds of a node that is an activation function of its operand `slot`.
fn bounds(graph: &Graph, node: NodeId, slot: usize) -> Option<[f64; 2]> {
    let op = graph.node(node).as_op().filter(|_| slot == 0)?;
    if op.is("Relu") {
        return Some([0.0, f64::INFINITY]);
    }
    if !op.is("Clip") {
        return None;
    }
    // Before opset 11 the bounds are attributes.
    let of_slot = |slot: usize, attribute: &str, none: f64| match graph.operand(node, slot) {
        Some(bound) => graph.constant(bound)?.floats()?.first().copied().map(f64::from),
        None => Some(op.float(attribute).ok()?.map_or(none, f64::from)),
    };
    let bounds = [of_slot(1, "min", f64::NEG_INFINITY)?, of_slot(2, "max", f64::INFINITY)?];
    (bounds[0] <= bounds[1]).then_some(bounds)
}

/// The positions of the compared values that a value is computed from: for each operand the nearest ones before it. `position` is
/// that of a name.
pub(super) fn computed_from(
    model: &Model,
    value: ValueRef,
    position: impl Fn(&str) -> Option<usize>,
) -> BTreeSet<usize> {
    let graph = model.graph(value.graph);
    let mut found = BTreeSet::new();
    let mut seen: HashSet<ValueId> = HashSet::new();
    let operands = |node: NodeId| graph.operands(node).iter().flatten().copied().collect::<Vec<_>>();
    let mut open = operands(value.value.node);
    while let Some(next) = open.pop() {
        if !seen.insert(next) {
            continue;
        }
        match position(&graph.value(next).name) {
            Some(position) => _ = found.insert(position),
            None => open.extend(operands(next.node)),
        }
    }
    found
}

/// The nodes whose first operand is made of a value's integers: those behind its QuantizeLinear and DequantizeLinear, or behind the
/// QuantizeLinear alone.
pub(super) fn used_by(graph: &Graph, value: ValueId) -> Vec<String> {
    let first_of = |value: ValueId| {
        graph
            .users(value)
            .into_iter()
            .filter(|&(_, slot)| slot == 0)
            .map(|(user, _)| user)
            .collect::<Vec<_>>()
    };
    let is = |node: &NodeId, name: &str| graph.node(*node).as_op().is_some_and(|op| op.is(name));
    let output = |node: NodeId| ValueId { node, slot: 0 };
    let quantizing = first_of(value).into_iter().filter(|node| is(node, "QuantizeLinear"));
    let integers = quantizing.flat_map(|node| first_of(output(node)));
    let users = integers
        .flat_map(|node| if is(&node, "DequantizeLinear") { first_of(output(node)) } else { vec![node] });
    users.map(|node| graph.node(node).label().to_owned()).collect()
}
