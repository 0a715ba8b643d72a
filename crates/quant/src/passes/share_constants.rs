//! Constants that several graphs hold alike.

use quantfit_ir::{DType, Graph, Model, Node, NodeId, NodeKind, Pass, Result, Tensor, Value, ValueId};
use std::collections::HashMap;

/// Holds a constant once, in the model's graph, that several of its subgraphs hold alike: the branches of an If often have the
/// same weights. It is what [`SinkConstants`](crate::SinkConstants) undoes.
///
/// Left alone: constants of less than 1 KiB, which are not worth a capture, those that only one graph holds, and those that
/// a graph gives as its output.
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

/// Smaller ones stay where they are.
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
        let mut wanted = Vec::new();
        for (value, tensor) in shared {
            let own = constants(&model.graph).find(|(_, other)| **other == tensor).map(|(id, _)| id);
            let id = own.unwrap_or_else(|| {
                let mut node = Node::constant(value.name.clone(), tensor.clone());
                node.outputs[0] = value;
                model.graph.add(node, &[])
            });
            wanted.push((tensor, id.into()));
        }
        share(&mut model.graph, &wanted);
        model.graph.remove_dead();
        Ok(true)
    }
}

/// What two graphs at least hold, with the first one's name.
fn shared(model: &Model) -> Vec<(Value, Tensor)> {
    type Found = (Value, Tensor, Vec<usize>);
    let mut found: HashMap<(DType, Vec<usize>), Vec<Found>> = HashMap::new();
    let graphs = model.graphs();
    if graphs.len() == 1 {
        return vec![];
    }
    let mut order = Vec::new();
    for (position, graph) in graphs.into_iter().enumerate() {
        for (id, tensor) in constants(graph) {
            let key = (tensor.dtype(), tensor.shape().to_vec());
            let alike = found.entry(key.clone()).or_default();
            match alike.iter_mut().find(|(_, other, _)| other == tensor) {
                Some((.., holders)) => holders.push(position),
                None => {
                    order.push((key, alike.len()));
                    alike.push((graph.node(id).outputs[0].clone(), tensor.clone(), vec![position]));
                }
            }
        }
    }
    let in_order = order.into_iter().map(|(key, idx)| &found[&key][idx]);
    let several = in_order.filter(|(.., holders)| holders.iter().any(|holder| *holder != holders[0]));
    several.map(|(value, tensor, _)| (value.clone(), tensor.clone())).collect()
}

/// The constants that are worth it.
fn constants(graph: &Graph) -> impl Iterator<Item = (NodeId, &Tensor)> {
    graph.topo().into_iter().filter_map(|id| match &graph.node(id).kind {
        NodeKind::Const(tensor) if tensor.byte_size() >= LEAST_BYTES => {
            Some((id, tensor)).filter(|_| !graph.outputs().contains(&id.into()))
        }
        _ => None,
    })
}

/// Lets the subgraphs of a graph capture what they or their subgraphs hold of what is wanted, each with its value in the graph.
fn share(graph: &mut Graph, wanted: &[(Tensor, ValueId)]) {
    for id in graph.topo() {
        if graph.node(id).as_op().is_none_or(|op| op.subgraphs().next().is_none()) {
            continue;
        }
        let mut captured =
            graph.operands(id)[graph.operands(id).len() - graph.node(id).n_captures()..].to_vec();
        let mut slot = graph.operands(id).len() - captured.len();
        let values: Vec<Value> = wanted.iter().map(|(_, value)| graph.value(*value).clone()).collect();
        let mut operands: Vec<Option<ValueId>> = Vec::new();
        let NodeKind::Op(op) = &mut graph.node_mut(id).kind else { continue };
        for subgraph in op.subgraphs_mut() {
            operands.extend(captured.drain(..subgraph.captures().len()));
            let mut inside = Vec::new();
            for ((tensor, value), described) in wanted.iter().zip(&values) {
                if holds(subgraph, tensor) {
                    let own: Vec<NodeId> =
                        constants(subgraph).filter(|(_, own)| *own == tensor).map(|(id, _)| id).collect();
                    let capture = subgraph.add(Node::capture(described.clone()), &[]);
                    own.into_iter().for_each(|own| subgraph.replace_uses(own.into(), capture.into()));
                    operands.push(Some(*value));
                    inside.push((tensor.clone(), capture.into()));
                }
            }
            share(subgraph, &inside);
        }
        for operand in operands {
            graph.set_operand(id, slot, operand);
            slot += 1;
        }
    }
}

/// Whether a graph or one of its subgraphs holds a constant.
fn holds(graph: &Graph, tensor: &Tensor) -> bool {
    let ops = graph.node_ids().filter_map(|id| graph.node(id).as_op());
    constants(graph).any(|(_, own)| own == tensor)
        || ops.flat_map(quantfit_ir::Op::subgraphs).any(|subgraph| holds(subgraph, tensor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::SinkConstants;
    use quantfit_ir::verify;

    /// How many constants each graph holds, and how many values each captures.
    fn counts(model: &Model) -> Vec<(usize, usize)> {
        model.graphs().into_iter().map(|graph| (constants(graph).count(), graph.captures().len())).collect()
    }

    /// A branch in a branch holds what its neighbour holds; what one of them gives stays.
    #[test]
    fn it_is_what_sinking_undoes() {
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
