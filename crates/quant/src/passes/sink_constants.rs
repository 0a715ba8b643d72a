//! Constants in the graphs that use them.

use crate::names::Names;
use intact8_ir::{Graph, GraphId, Model, Node, NodeId, NodeKind, Pass, Result, Tensor, Value, ValueId};
use std::collections::HashSet;

/// Moves a constant into the subgraphs that capture it, if it has no other use. Then a layer in the branch of an If
/// or the body of a Loop has its weight in the same graph, where other passes recognize it as constant. Several
/// subgraphs get a copy each; the copies share their memory. `share-constants` undoes it.
///
/// Left alone: constants that the outer graph uses too, and defaults of inputs.
///
/// ```qir before
/// model m opset 17
/// %c = input : bool[]
/// %x = input : f32[N,2]
/// %w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]
/// %y = If(%c; %x, %x, %w) {else_branch = graph {
///   %x.1 = capture
///   return %x.1
/// }, then_branch = graph {
///   %x.2 = capture
///   %w.2 = capture
///   %z = MatMul(%x.2, %w.2)
///   return %z
/// }}
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %c = input : bool[]
/// %x = input : f32[N,2]
/// %y = If(%c; %x, %x) {else_branch = graph {
///   %x.1 = capture
///   return %x.1
/// }, then_branch = graph {
///   %x.2 = capture
///   %w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]
///   %z = MatMul(%x.2, %w)
///   return %z
/// }}
/// return %y
/// ```
pub struct SinkConstants;

impl Pass for SinkConstants {
    fn name(&self) -> &'static str {
        "sink-constants"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let changed = sink(model, GraphId::MAIN, &mut names);
        if changed {
            model.remove_dead();
        }
        Ok(changed)
    }
}

/// Sinks constants from a graph, and then from its subgraphs: a constant may sink by several levels.
fn sink(model: &mut Model, graph: GraphId, names: &mut Names) -> bool {
    let mut changed = false;
    // The first subgraph that gets a constant keeps its name.
    let mut moved: HashSet<ValueId> = HashSet::new();
    for id in model.graph(graph).topo() {
        let movable = movable(model.graph(graph), id);
        let op = model.graph(graph).node(id).as_op();
        let subgraphs: Vec<GraphId> = op.into_iter().flat_map(|op| op.subgraphs()).collect();
        let mut first = 0;
        for subgraph in subgraphs {
            let captures = model.graph(subgraph).captures().to_vec();
            for (slot, source, (value, tensor)) in &movable {
                let Some(&capture) = slot.checked_sub(first).and_then(|idx| captures.get(idx)) else {
                    continue;
                };
                let mut value = value.clone();
                if !moved.insert(*source) {
                    value.name = names.fresh(&value.name);
                }
                put(model.graph_mut(subgraph), capture, value, tensor.clone());
                changed = true;
            }
            first += captures.len();
            changed |= sink(model, subgraph, names);
        }
    }
    changed
}

/// The constants that only subgraphs use, among the captured operands of a node, with their position.
fn movable(graph: &Graph, id: NodeId) -> Vec<(usize, ValueId, (Value, Tensor))> {
    let n_formal = |id: NodeId| graph.formal_operands(id).len();
    let captured = graph.captured_operands(id).iter().enumerate();
    let constant = |(slot, operand): (usize, &Option<ValueId>)| {
        let value = (*operand)?;
        let node = graph.node(value.node);
        let NodeKind::Const(tensor) = &node.kind else { return None };
        let is_captured = |&(user, slot): &(NodeId, usize)| slot >= n_formal(user);
        let is_free = graph.users(value).iter().all(is_captured) && !graph.outputs().contains(&value);
        is_free.then(|| (slot, value, (node.outputs[0].clone(), tensor.clone())))
    };
    captured.filter_map(constant).collect()
}

/// Replaces a capture of a subgraph by a constant; the capture is then dead.
fn put(subgraph: &mut Graph, capture: NodeId, value: Value, tensor: Tensor) {
    let mut node = Node::constant(value.name.clone(), tensor);
    node.outputs[0] = value;
    let constant = subgraph.add(node, &[]);
    subgraph.replace_uses(capture.into(), constant.into());
}
