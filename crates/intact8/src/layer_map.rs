//! The nodes of the original model that each node of an output computes, by name, from the origins of the nodes.

use intact8_ir::{GraphId, Model, NodeId, NodeRef, Pass, ValueRef};
use intact8_quant::passes::NameNodes;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// For each operation of `output`, by its name, the names of the original's nodes that it computes, in the original's
/// order. Every node of the original is in at least one of them, unless no part of it is left. `output` is a changed copy
/// of `original` with marked origins; see [`Model::mark_origins`].
///
/// A node without origins, such as a QuantizeLinear that a pass has inserted, belongs to the nodes that use its result. An
/// original node that is not the origin of any node, such as one that changes nothing, belongs to the nodes that produce
/// its input.
pub(crate) fn layer_map(original: &Model, output: &Model) -> BTreeMap<String, Vec<String>> {
    let mut original = original.clone();
    // Naming nodes has no way to fail.
    drop(NameNodes.run(&mut original));
    let order = operations(&original);
    let position: HashMap<NodeRef, usize> = order.iter().enumerate().map(|(at, &node)| (node, at)).collect();
    let mut sources: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (node, origins) in origins(output) {
        let found = origins.iter().filter_map(|origin| position.get(origin).copied());
        let label = output.graph(node.graph).node(node.node).label().to_owned();
        sources.entry(label).or_default().extend(found);
    }
    let mut holders: HashMap<usize, BTreeSet<String>> = HashMap::new();
    for (name, found) in &sources {
        found.iter().for_each(|&at| _ = holders.entry(at).or_default().insert(name.clone()));
    }
    for (at, &node) in order.iter().enumerate() {
        if holders.contains_key(&at) {
            continue;
        }
        let mut upstream =
            original.graph(node.graph).operands(node.node).iter().flatten().filter_map(|&value| {
                let made = original.producer(ValueRef { graph: node.graph, value });
                holders.get(position.get(&NodeRef { graph: made.graph, node: made.value.node })?).cloned()
            });
        let Some(upstream) = upstream.next() else { continue };
        for name in &upstream {
            sources.entry(name.clone()).or_default().insert(at);
        }
        holders.insert(at, upstream);
    }
    let name = |at: usize| original.graph(order[at].graph).node(order[at].node).name.clone();
    let named = |found: BTreeSet<usize>| found.into_iter().map(name).collect();
    sources.into_iter().map(|(name, found)| (name, named(found))).collect()
}

/// The operations of a model, graph by graph in topological order.
fn operations(model: &Model) -> Vec<NodeRef> {
    let nodes = |graph: GraphId| {
        let is_op = move |&node: &NodeId| model.graph(graph).node(node).as_op().is_some();
        model.graph(graph).topo().into_iter().filter(is_op).map(move |node| NodeRef { graph, node })
    };
    model.graph_ids().flat_map(nodes).collect()
}

/// The origins of every operation: its own, or those of the nodes that use its results, or of the producers of its
/// operands, or of the node whose subgraph contains it.
fn origins(model: &Model) -> BTreeMap<NodeRef, Vec<NodeRef>> {
    let nodes = operations(model);
    let own = |&node: &NodeRef| (node, model.graph(node.graph).node(node.node).origins.clone());
    let mut origins: BTreeMap<NodeRef, Vec<NodeRef>> = nodes.iter().map(own).collect();
    let lacks =
        |origins: &BTreeMap<NodeRef, Vec<NodeRef>>, node| origins.get(&node).is_none_or(Vec::is_empty);
    for &node in nodes.iter().rev().filter(|node| model.graph(node.graph).node(node.node).origins.is_empty())
    {
        let graph = model.graph(node.graph);
        let outputs = 0..graph.node(node.node).outputs.len();
        let users = outputs.flat_map(|slot| graph.users(intact8_ir::ValueId { node: node.node, slot }));
        let found = union(&origins, users.map(|(user, _)| NodeRef { graph: node.graph, node: user }));
        origins.insert(node, found);
    }
    for &node in &nodes {
        if !lacks(&origins, node) {
            continue;
        }
        let operands = model.graph(node.graph).operands(node.node).iter().flatten();
        let of_producers =
            union(&origins, operands.map(|value| NodeRef { graph: node.graph, node: value.node }));
        let owner = || model.owner(node.graph).and_then(|owner| origins.get(&owner).cloned());
        let found = if of_producers.is_empty() { owner().unwrap_or_default() } else { of_producers };
        origins.insert(node, found);
    }
    origins
}

/// The origins of several nodes together.
fn union(origins: &BTreeMap<NodeRef, Vec<NodeRef>>, nodes: impl Iterator<Item = NodeRef>) -> Vec<NodeRef> {
    let all: BTreeSet<NodeRef> = nodes.filter_map(|node| origins.get(&node)).flatten().copied().collect();
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::Pipeline;
    use intact8_quant::{
        DeployFormat, Emission, LayerRecord, Preparation, Prepared, QuantConfig, QuantParams, Record, emit,
        fake_quant,
    };

    fn map(original: &Model, output: &Model) -> Vec<String> {
        let line = |(name, sources): (String, Vec<String>)| format!("{name}: {}", sources.join(" "));
        layer_map(original, output).into_iter().map(line).collect()
    }

    /// The maps of the fake-quant model with scales of 0.5, and of its deploy model.
    fn maps(text: &str, format: DeployFormat) -> [Vec<String>; 2] {
        let original: Model = text.parse().unwrap();
        let how = Preparation { equalize: false, ..Preparation::default() };
        let mut model = Prepared::new(&original, &how, None, &mut ()).unwrap().model().clone();
        let config = QuantConfig::for_model(&model);
        let half = || QuantParams::per_tensor(0.5, 0, 8);
        let entry = |layer: &intact8_quant::Layer| LayerRecord {
            activations: vec![half(); layer.activations.len()],
            weights: vec![half(); layer.weights.len()],
            ..LayerRecord::default()
        };
        let layers = config.enabled(&model).into_iter();
        let layers = layers.map(|(layer, _)| (layer.name.clone(), entry(&layer))).collect();
        fake_quant(&config, &Record { layers }).run(&mut model).unwrap();
        let of_fake_quant = map(&original, &model);
        emit(format, &Emission::default()).run(&mut model).unwrap();
        [of_fake_quant, map(&original, &model)]
    }

    const CONV: &str = "\
model m opset 13
%x = input : f32[1,1,4,4]
%i = Identity(%x)
%w = const splat(1.0) : f32[1,1,1,1]
%one = const [1.0] : f32[1]
%c = Conv(%i, %w) @conv : f32[1,1,4,4]
%n = BatchNormalization(%c, %one, %one, %one, %one) @norm : f32[1,1,4,4]
%r = Relu(%n) @relu : f32[1,1,4,4]
%v = const splat(1.0) : f32[1,1,1,1]
%y = Conv(%r, %v) @last : f32[1,1,4,4]
return %y
";

    #[test]
    fn a_folded_batch_normalization_belongs_to_its_conv_and_a_pair_to_its_user() {
        let [of_fake_quant, _] = maps(CONV, DeployFormat::Qdq);
        let line =
            |name: &str| of_fake_quant.iter().find(|line| line.starts_with(&format!("{name}: "))).unwrap();
        assert_eq!(line("conv"), "conv: conv norm");
        assert_eq!(line("relu"), "relu: relu");
        for (pair, sources) in [("conv.x", "conv norm"), ("last.x", "last"), ("last.w", "last")] {
            for suffix in ["q", "dq"] {
                assert_eq!(*line(&format!("{pair}.{suffix}")), format!("{pair}.{suffix}: {sources}"));
            }
        }
    }

    #[test]
    fn layers_of_integers_hold_what_they_compute() {
        let [_, lowered] = maps(CONV, DeployFormat::QOperator);
        let sources = |name: &str| {
            let line = lowered.iter().find(|line| line.starts_with(&format!("{name}: ")));
            line.unwrap_or_else(|| panic!("{lowered:?}")).split_once(": ").unwrap().1.to_owned()
        };
        assert!(sources("conv").starts_with("conv norm"), "{lowered:?}");
        assert!(lowered.iter().any(|line| line.split(": ").last().unwrap().split(' ').any(|s| s == "last")));
        assert!(lowered.iter().any(|line| line.split(": ").last().unwrap().split(' ').any(|s| s == "relu")));
        assert!(lowered.iter().all(|line| !line.ends_with(": ")), "{lowered:?}");
    }

    #[test]
    fn nodes_of_subgraphs_are_in_the_map() {
        let text = "\
model m opset 17
%c = input : bool[]
%x = input : f32[N,2]
%y = If(%c; %x, %x) {else_branch = graph {
  %x.1 = capture : f32[N,2]
  %e = Neg(%x.1) @neg
  return %e
}, then_branch = graph {
  %x.2 = capture : f32[N,2]
  %w = const splat(1.0) : f32[2,2]
  %p = MatMul(%x.2, %w) @inner : f32[N,2]
  %t = Identity(%p) @same
  %q = Neg(%t) @outer
  return %q
}} @if
return %y
";
        let original: Model = text.parse().unwrap();
        let mut model = original.clone();
        model.mark_origins();
        Pipeline(vec![Box::new(intact8_quant::passes::RemoveNoOps)]).run(&mut model).unwrap();
        assert_eq!(map(&original, &model), ["if: if", "inner: inner same", "neg: neg", "outer: outer"]);
    }

    #[test]
    fn a_node_of_which_nothing_is_left_belongs_to_what_its_input_comes_from() {
        let text = "model m opset 17\n%x = input : f32[N]\n%a = Neg(%x) @a\n%b = Abs(%a) @b\n%c = Neg(%b) @c\nreturn %c\n";
        let original: Model = text.parse().unwrap();
        let mut model = original.clone();
        model.mark_origins();
        let [a, c] = ["a", "c"].map(|name| model.main().value_named(name).unwrap());
        model.main_mut().set_operand(c.node, 0, Some(a));
        model.remove_dead();
        assert_eq!(map(&original, &model), ["a: a b", "c: c"]);
    }
}
