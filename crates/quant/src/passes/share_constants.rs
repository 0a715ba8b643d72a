//! Constants that several graphs hold alike.

use intact8_ir::{Graph, GraphId, Model, Node, NodeId, NodeKind, Pass, Result, Tensor, Value, ValueId};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Moves a constant that several subgraphs hold alike into the model's graph, once: the branches of an If often
/// have the same weights. `sink-constants` undoes it.
///
/// Left alone: constants of less than 1 KiB, which are not worth a capture, those that only one graph holds, and
/// those that are the output of a graph.
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
        let shared = shared(model);
        if shared.is_empty() {
            return Ok(false);
        }
        let own: HashMap<Content, NodeId> =
            constants(model.main()).map(|(id, content)| (content, id)).collect();
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
        model.remove_dead();
        Ok(true)
    }
}

/// A tensor as a key: tensors are compared only if their hashes are equal.
#[derive(Clone, PartialEq)]
struct Content {
    hash: u64,
    tensor: Tensor,
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
            let mut hasher = DefaultHasher::new();
            (tensor.dtype(), tensor.shape(), tensor.to_le_bytes()).hash(&mut hasher);
            Some((id, Content { hash: hasher.finish(), tensor: tensor.clone() }))
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
