//! Which nodes of the original model each node of an output came from.

use intact8_ir::{Graph, Model, NodeId, Pass};
use intact8_quant::NameNodes;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// For each operation of `output`, by its name, the names of the original's nodes that it computes, in the original's
/// order. Every node of the original is in at least one of them, unless nothing of it is left.
///
/// Passes name what they make after the node that it belongs to, with a dot and a word behind. What was folded into
/// another node is found by the values that are still there, and what no value tells goes to the nodes that its input
/// comes from. Nodes inside subgraphs are matched by name alone.
pub(crate) fn layer_map(original: &Model, output: &Model) -> BTreeMap<String, Vec<String>> {
    let mut original = original.clone();
    // Naming nodes has no way to fail.
    drop(NameNodes.run(&mut original));
    let order: Vec<(&Graph, NodeId)> = operations(&original);
    let position: HashMap<&str, usize> =
        order.iter().enumerate().map(|(at, (graph, id))| (graph.node(*id).name.as_str(), at)).collect();
    let maker: HashMap<&str, usize> = order
        .iter()
        .enumerate()
        .flat_map(|(at, (graph, id))| {
            graph.node(*id).outputs.iter().map(move |value| (value.name.as_str(), at))
        })
        .filter(|(name, _)| !name.is_empty())
        .collect();
    let mut sources: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (graph, id) in operations(output) {
        let node = graph.node(id);
        let mut found = BTreeSet::new();
        found.extend(of_name(node.label(), &position));
        for value in &node.outputs {
            found.extend(maker.get(value.name.as_str()));
        }
        sources.entry(node.label().to_owned()).or_default().extend(found);
    }
    let mut holders: HashMap<usize, BTreeSet<String>> = HashMap::new();
    for (name, found) in &sources {
        found.iter().for_each(|&at| _ = holders.entry(at).or_default().insert(name.clone()));
    }
    for (at, (graph, id)) in order.iter().enumerate() {
        if holders.contains_key(&at) {
            continue;
        }
        let upstream = graph.operands(*id).iter().flatten().filter_map(|value| {
            let from = position.get(graph.node(value.node).name.as_str())?;
            holders.get(from).cloned()
        });
        let Some(upstream) = upstream.into_iter().next() else { continue };
        for name in &upstream {
            sources.entry(name.clone()).or_default().insert(at);
        }
        holders.insert(at, upstream);
    }
    let named = |found: BTreeSet<usize>| {
        found.into_iter().map(|at| order[at].0.node(order[at].1).name.clone()).collect()
    };
    sources.into_iter().map(|(name, found)| (name, named(found))).collect()
}

fn operations(model: &Model) -> Vec<(&Graph, NodeId)> {
    let all = model.graphs().flat_map(|(_, graph)| graph.topo().into_iter().map(move |id| (graph, id)));
    all.filter(|(graph, id)| graph.node(*id).as_op().is_some()).collect()
}

/// The original node that a name is made after: the whole name, or what stands before a dot in it, the longest first.
fn of_name(name: &str, position: &HashMap<&str, usize>) -> Option<usize> {
    let mut prefix = name;
    loop {
        if let Some(&at) = position.get(prefix) {
            return Some(at);
        }
        prefix = prefix.rsplit_once('.')?.0;
    }
}
