//! Removal of everything that a file does not need.

use intact8_ir::{Graph, Model, NodeKind, Op, Pass, Result};
use std::collections::BTreeSet;

/// Removes unneeded parts: constants and operations that no output depends on, the types of values inside the
/// graph, functions without a call, and operator sets without an operator.
///
/// Types inside a graph can all be inferred, and some runtimes refuse a model whose types are less precise than
/// their own.
///
/// ```qir before
/// model m opset 17, com.microsoft 1
/// %x = input : f32[N,2]
/// %unused = const [1.0] : f32[1]
/// %r = Relu(%x) : f32[N,2]
/// %y = Neg(%r) : f32[N,2]
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2]
/// %r = Relu(%x)
/// %y = Neg(%r) : f32[N,2]
/// return %y
/// ```
pub struct Trim;

impl Pass for Trim {
    fn name(&self) -> &'static str {
        "trim"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let before = size(model);
        model.remove_dead();
        let called: BTreeSet<(String, String)> =
            ops(model).map(|op| (op.domain.clone(), op.name.clone())).collect();
        model.functions.retain(|function| called.contains(&(function.domain.clone(), function.name.clone())));
        model.remove_dead();
        let mut used: BTreeSet<&str> = ops(model).map(|op| op.domain.as_str()).collect();
        used.insert("");
        let unused: Vec<String> =
            model.opsets.keys().filter(|domain| !used.contains(domain.as_str())).cloned().collect();
        for domain in &unused {
            model.opsets.remove(domain);
        }
        let mut changed = before != size(model) || !unused.is_empty();
        model.try_for_each_graph(|_, graph| {
            changed |= forget_types(graph);
            Ok::<_, intact8_ir::Error>(())
        })?;
        Ok(changed)
    }
}

fn size(model: &Model) -> (usize, usize) {
    (model.graphs().map(|(_, graph)| graph.dag().node_count()).sum(), model.functions.len())
}

/// The operations of a model, those of its functions too.
fn ops(model: &Model) -> impl Iterator<Item = &Op> {
    let bodies = model.functions.iter().flat_map(|function| model.subgraphs_of(function.body));
    let graphs = model.graph_ids().chain(bodies).map(|id| model.graph(id));
    graphs.flat_map(|graph| graph.dag().node_weights()).filter_map(|node| node.as_op())
}

/// Removes the types of results of operations that are no outputs.
fn forget_types(graph: &mut Graph) -> bool {
    let outputs = graph.outputs().to_vec();
    let mut changed = false;
    for id in graph.topo() {
        let node = graph.node_mut(id);
        if !matches!(node.kind, NodeKind::Op(_)) {
            continue;
        }
        for (slot, value) in node.outputs.iter_mut().enumerate() {
            let is_output = outputs.iter().any(|output| output.node == id && output.slot == slot);
            changed |= !is_output && value.ty.take().is_some();
        }
    }
    changed
}
