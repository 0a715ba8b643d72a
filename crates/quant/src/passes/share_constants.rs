//! Constants that a model holds more than once.

use crate::content::{are_equal, are_transposes, sampled_hash};
use crate::names::Names;
use crate::new_nodes::operation;
use intact8_ir::{
    Attr, Graph, GraphId, Model, Node, NodeId, NodeKind, Op, Pass, Result, Tensor, Value, ValueId,
};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};

/// Stores a constant once that a model holds several times.
///
/// Of equal constants of a graph one is left. A matrix that is the transpose of another becomes a Transpose of it, as
/// a table of embeddings that is also the weight of the last layer; the matrix that a Gather uses stays. A constant
/// that several subgraphs hold alike moves into the model's graph: the branches of an If often have the same
/// weights. `sink-constants` undoes that.
///
/// Left alone: constants of less than 1 KiB, which are not worth a capture, and those that are the output of a graph.
///
/// ```qir before
/// model m opset 17
/// %c = input : bool[]
/// %x = input : f32[1,512]
/// %y = If(%c; %x, %x) {else_branch = graph {
///   %x.1 = capture
///   %a = const splat(2.0) : f32[512]
///   %p = Add(%x.1, %a)
///   return %p
/// }, then_branch = graph {
///   %x.2 = capture
///   %b = const splat(2.0) : f32[512]
///   %q = Mul(%x.2, %b)
///   return %q
/// }}
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %c = input : bool[]
/// %x = input : f32[1,512]
/// %a = const splat(2.0) : f32[512]
/// %y = If(%c; %x, %a, %x, %a) {else_branch = graph {
///   %x.1 = capture
///   %a = capture : f32[512]
///   %p = Add(%x.1, %a)
///   return %p
/// }, then_branch = graph {
///   %x.2 = capture
///   %a = capture : f32[512]
///   %q = Mul(%x.2, %a)
///   return %q
/// }}
/// return %y
/// ```
pub struct ShareConstants;

/// The size from which on constants are shared, in bytes.
const LEAST_BYTES: usize = 1 << 10;

impl Pass for ShareConstants {
    fn name(&self) -> &'static str {
        "share-constants"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            changed |= merge(graph);
            Ok(())
        })?;
        changed |= share_among_graphs(model);
        let mut names = Names::of(model);
        model.try_for_each_graph(|_, graph| {
            changed |= transpose(graph, &mut names);
            Ok(())
        })?;
        if changed {
            model.remove_dead();
        }
        Ok(changed)
    }
}

/// Replaces a graph's constants by the first that is equal; returns whether there are such.
fn merge(graph: &mut Graph) -> bool {
    let mut firsts: HashMap<Content, NodeId> = HashMap::new();
    let mut repeated = Vec::new();
    for (id, content) in constants(graph) {
        match firsts.entry(content) {
            Entry::Occupied(first) => repeated.push((id, *first.get())),
            Entry::Vacant(vacant) => drop(vacant.insert(id)),
        }
    }
    repeated.iter().for_each(|&(id, first)| graph.replace_uses(id.into(), first.into()));
    !repeated.is_empty()
}

/// Replaces a graph's constant matrices by the Transpose of another one; returns whether there are such.
fn transpose(graph: &mut Graph, names: &mut Names) -> bool {
    let is_looked_up =
        |id: NodeId| graph.users(id.into()).iter().any(|&(user, _)| graph.node(user).is("Gather"));
    let is_matrix = |tensor: &&Tensor| tensor.shape().len() == 2 && !tensor.shape().contains(&1);
    let tensor = |id: NodeId| graph.constant(id.into()).filter(is_matrix);
    let mut matrices: Vec<NodeId> =
        constants(graph).map(|(id, _)| id).filter(|&id| tensor(id).is_some()).collect();
    matrices.sort_by_key(|&id| !is_looked_up(id));
    let mut kept: HashMap<u64, Vec<NodeId>> = HashMap::new();
    let mut transposed = Vec::new();
    for id in matrices {
        let Some(tensor_of_id) = tensor(id) else { continue };
        let [hash, of_transpose] =
            [false, true].map(|is_transposed| sampled_hash(tensor_of_id, is_transposed));
        let (Some(hash), Some(of_transpose)) = (hash, of_transpose) else { continue };
        let others = kept.get(&of_transpose).into_iter().flatten();
        let is_transpose =
            |&&other: &&NodeId| tensor(other).is_some_and(|other| are_transposes(tensor_of_id, other));
        match others.copied().find(|other| is_transpose(&other)) {
            Some(other) => transposed.push((id, other)),
            None => kept.entry(hash).or_default().push(id),
        }
    }
    for &(id, other) in &transposed {
        let op = Op::new("Transpose").with("perm", Attr::Ints(vec![1, 0]));
        let name = format!("{}.transposed", graph.node(other).outputs[0].name);
        let ty = graph.value(id.into()).tensor_type().cloned();
        let value = operation(graph, names, &name, op, ty, &[other.into()]);
        graph.replace_uses(id.into(), value);
    }
    !transposed.is_empty()
}

/// Moves the constants that several graphs hold into the model's graph; returns whether there are such.
fn share_among_graphs(model: &mut Model) -> bool {
    let shared = shared(model);
    if shared.is_empty() {
        return false;
    }
    let own: HashMap<Content, NodeId> = constants(model.main()).map(|(id, content)| (content, id)).collect();
    let mut in_model = Vec::new();
    for (value, content) in shared {
        let id = own.get(&content).copied().unwrap_or_else(|| {
            let mut node = Node::constant(value.name.clone(), content.tensor.clone());
            node.outputs[0] = value;
            model.main_mut().add(node, &[])
        });
        in_model.push((content, id.into()));
    }
    share(model, GraphId::MAIN, &in_model);
    true
}

/// A tensor as a key: tensors are compared only if their hashes are equal.
#[derive(Clone)]
struct Content {
    hash: u64,
    tensor: Tensor,
}

impl PartialEq for Content {
    fn eq(&self, other: &Content) -> bool {
        self.hash == other.hash && are_equal(&self.tensor, &other.tensor)
    }
}

impl Eq for Content {}

impl Hash for Content {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

/// The constants that at least two graphs hold, in their order, with the first one's name.
fn shared(model: &Model) -> Vec<(Value, Content)> {
    let graphs = model.graphs();
    if graphs.len() == 1 {
        return vec![];
    }
    let mut holders: HashMap<Content, (GraphId, bool)> = HashMap::new();
    let mut in_order = Vec::new();
    for (graph_id, graph) in graphs {
        for (id, content) in constants(graph) {
            let (first, is_shared) = holders.entry(content.clone()).or_insert_with(|| {
                in_order.push((graph.node(id).outputs[0].clone(), content));
                (graph_id, false)
            });
            *is_shared |= *first != graph_id;
        }
    }
    in_order.retain(|(_, content)| holders[content].1);
    in_order
}

/// The constants that are large enough to be shared.
fn constants(graph: &Graph) -> impl Iterator<Item = (NodeId, Content)> {
    graph.topo().into_iter().filter_map(|id| match &graph.node(id).kind {
        NodeKind::Const(tensor)
            if tensor.byte_size() >= LEAST_BYTES && !graph.outputs().contains(&id.into()) =>
        {
            // Types that are no plain numbers are rare: all of their tensors of a size are compared.
            let hash = sampled_hash(tensor, false).unwrap_or(tensor.len() as u64);
            Some((id, Content { hash, tensor: tensor.clone() }))
        }
        _ => None,
    })
}

/// Makes the subgraphs of a graph capture the shared constants that they or their subgraphs hold, each with its value in the
/// graph.
fn share(model: &mut Model, graph: GraphId, shared: &[(Content, ValueId)]) {
    let values: Vec<Value> =
        shared.iter().map(|(_, value)| model.graph(graph).value(*value).clone()).collect();
    for id in model.graph(graph).topo() {
        let op = model.graph(graph).node(id).as_op();
        let subgraphs: Vec<GraphId> = op.into_iter().flat_map(|op| op.subgraphs()).collect();
        for subgraph in subgraphs {
            let own: Vec<(NodeId, Content)> = constants(model.graph(subgraph)).collect();
            let within = model.subgraphs_of(subgraph).into_iter();
            let held: HashSet<Content> =
                within.flat_map(|id| constants(model.graph(id))).map(|(_, content)| content).collect();
            let mut inside = Vec::new();
            for ((content, value), described) in shared.iter().zip(&values) {
                if held.contains(content) {
                    let capture = model.capture(subgraph, described.clone(), *value);
                    for (id, _) in own.iter().filter(|(_, own)| own == content) {
                        model.graph_mut(subgraph).replace_uses((*id).into(), capture.into());
                    }
                    inside.push((content.clone(), capture.into()));
                }
            }
            share(model, subgraph, &inside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::SinkConstants;
    use intact8_ir::verify;

    /// The number of constants in each graph, and the number of values that each captures.
    fn counts(model: &Model) -> Vec<(usize, usize)> {
        model.graphs().map(|(_, graph)| (constants(graph).count(), graph.captures().len())).collect()
    }

    /// Whether a splat of that many floats in two branches is shared.
    fn is_shared(n: usize) -> bool {
        let branch = |op: &str| {
            format!(
                "graph {{\n  %x.{op} = capture\n  %c.{op} = const splat(2.0) : f32[{n}]\n  \
                 %y.{op} = {op}(%x.{op}, %c.{op})\n  return %y.{op}\n}}"
            )
        };
        let text = format!(
            "model m opset 17\n%c = input : bool[]\n%x = input : f32[{n}]\n\
             %y = If(%c; %x, %x) {{else_branch = {}, then_branch = {}}}\nreturn %y\n",
            branch("Add"),
            branch("Mul")
        );
        ShareConstants.run(&mut text.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_kilobyte_is_worth_a_capture() {
        assert!(is_shared(256) && !is_shared(255));
    }

    /// A branch in a branch holds a constant of its neighbour; a constant that is an output stays.
    #[test]
    fn sinking_undoes_it() {
        let text = "model m opset 17\n%c = input : bool[]\n%x = input : f32[1,512]\n\
                    %y = If(%c; %c, %x, %x) {else_branch = graph {\n  %c.1 = capture\n  %x.1 = capture\n  \
                    %z = If(%c.1; %x.1) {else_branch = graph {\n    %out = const splat(2.0) : f32[1,512]\n    \
                    return %out\n  }, then_branch = graph {\n    %x.3 = capture\n    \
                    %a = const splat(2.0) : f32[1,512]\n    %p = Add(%x.3, %a)\n    return %p\n  }}\n  return %z\n}, \
                    then_branch = graph {\n  %x.2 = capture\n  %b = const splat(2.0) : f32[1,512]\n  \
                    %q = Mul(%x.2, %b)\n  return %q\n}}\nreturn %y\n";
        let mut model: Model = text.parse().unwrap();
        let before = counts(&model);
        assert_eq!(before, [(0, 0), (0, 2), (0, 0), (1, 1), (1, 1)]);
        assert!(ShareConstants.run(&mut model).unwrap());
        verify(&model).unwrap();
        assert_eq!(counts(&model), [(1, 0), (0, 3), (0, 0), (0, 2), (0, 2)]);
        assert!(!ShareConstants.run(&mut model).unwrap(), "{model}");
        assert!(SinkConstants.run(&mut model).unwrap());
        verify(&model).unwrap();
        assert_eq!(counts(&model), before);
    }
}
