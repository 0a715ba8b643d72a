//! Elementwise operations on floats, one after the other.

use super::{DOMAIN, lowered_op, replace};
use crate::op::Operand;
use crate::ops::lowered::chain::{Link, Operation, Step};
use intact8_ir::{
    Attr, DType, Graph, Model, NodeId, NodeKind, Op, OperatorTrait, Pass, Result, Type, ValueId,
};
use std::collections::{HashMap, HashSet};

/// Merges elementwise operations on f32, of which only the last result has other uses, into one node that computes them block by
/// block; with the DequantizeLinears of one scale before them, and the QuantizeLinear of one scale after them.
///
/// The attribute `steps` lists the operators: `x0` is the first operand of the node, `y0` the result of the first step.
///
/// ```qir before
/// model m opset 17
/// %q = input : u8[N,3]
/// %s = const [0.5] : f32[]
/// %z = const [128] : u8[]
/// %x = DequantizeLinear(%q, %s, %z)
/// %e = Sigmoid(%x)
/// %m = Mul(%x, %e)
/// %f = const [1.0, 2.0, 3.0] : f32[3]
/// %n = Mul(%m, %f)
/// %y = QuantizeLinear(%n, %s, %z)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17, intact8.lowered 1
/// %q = input : u8[N,3]
/// %s = const [0.5] : f32[]
/// %z = const [128] : u8[]
/// %f = const [1.0, 2.0, 3.0] : f32[3]
/// %y = intact8.lowered::Chain(%q, %s, %z, %f) {opset = 17, steps = ["DequantizeLinear x0 x1 x2", "Sigmoid y0", "Mul y0 y1", "Mul y2 x3", "QuantizeLinear y3 x1 x2"]}
/// return %y
/// ```
pub(super) struct FuseChains;

impl Pass for FuseChains {
    fn name(&self) -> &'static str {
        "fuse-chains"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut changed = false;
        let opset = model.opset();
        let bodies: HashSet<_> = model.functions.iter().map(|function| function.body).collect();
        let in_bodies: HashSet<_> = bodies.iter().flat_map(|&body| model.subgraphs_of(body)).collect();
        model.try_for_each_graph(|id, graph| {
            // Functions have opsets of their own.
            if !bodies.contains(&id) && !in_bodies.contains(&id) {
                changed |= fuse(graph, opset);
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}

fn fuse(graph: &mut Graph, opset: i64) -> bool {
    let chains = Chains::of(graph);
    let absorbed: HashSet<NodeId> = graph.node_ids().filter(|&id| chains.absorb(graph, id)).collect();
    let mut changed = false;
    for members in &chains.members {
        changed |= merge(graph, members, &absorbed, opset).is_some();
    }
    changed
}

/// The operations of a graph that a chain can compute, each in one chain.
struct Chains {
    /// The nodes of each chain, in order; the last one computes its result.
    members: Vec<Vec<NodeId>>,
    chain_of: HashMap<NodeId, usize>,
}

impl Chains {
    fn of(graph: &Graph) -> Chains {
        let order = graph.topo();
        let floats = floats(graph, &order);
        let mut chains = Chains { members: vec![], chain_of: HashMap::new() };
        for &id in order.iter().rev() {
            let Some(operation) = operation(graph, id) else { continue };
            let float = match operation {
                Operation::Dequantize(_) => continue,
                Operation::Quantize(_) => graph.operand(id, 0),
                _ => Some(id.into()),
            };
            if !float.is_some_and(|value| floats.contains(&value)) {
                continue;
            }
            let is_last = matches!(operation, Operation::Quantize(_));
            let chain = chains.of_users(graph, id).filter(|_| !is_last).unwrap_or(chains.members.len());
            if chain == chains.members.len() {
                chains.members.push(vec![]);
            }
            chains.members[chain].push(id);
            chains.chain_of.insert(id, chain);
        }
        chains.members.iter_mut().for_each(|members| members.reverse());
        chains.members.reverse();
        chains
    }

    /// The chain of all users of a node's result.
    fn of_users(&self, graph: &Graph, id: NodeId) -> Option<usize> {
        let users = graph.users(id.into());
        let chain = *self.chain_of.get(&users.first()?.0)?;
        let are_alike = users.iter().all(|(user, _)| self.chain_of.get(user) == Some(&chain));
        (are_alike && !graph.outputs().contains(&id.into())).then_some(chain)
    }

    /// Whether the chains of the users of a DequantizeLinear compute it, each for itself.
    fn absorb(&self, graph: &Graph, id: NodeId) -> bool {
        let is_dequantized = matches!(operation(graph, id), Some(Operation::Dequantize(_)));
        let bytes = graph.operand(id, 0);
        let are_members = graph.users(id.into()).iter().all(|(user, _)| self.chain_of.contains_key(user));
        is_dequantized
            && are_members
            && !graph.outputs().contains(&id.into())
            && bytes.is_some_and(|bytes| graph.fixed(bytes).is_none())
    }
}

/// Merges the nodes of a chain, unless it is a single one.
fn merge(graph: &mut Graph, members: &[NodeId], absorbed: &HashSet<NodeId>, opset: i64) -> Option<()> {
    let &result = members.last()?;
    let mut merged = Merged::default();
    for &id in members {
        for operand in graph.operands(id).iter().flatten() {
            if absorbed.contains(&operand.node) && !merged.results.contains(operand) {
                merged.add(graph, operand.node)?;
            }
        }
        merged.add(graph, id)?;
    }
    let is_quantizer = matches!(operation(graph, result)?, Operation::Quantize(_));
    if merged.steps.len() < 2 || is_quantizer && members.len() == 1 {
        return None;
    }
    let steps = merged.steps.iter().map(|step| step.to_string().into_bytes()).collect();
    let op = lowered_op("Chain").with("opset", Attr::Int(opset)).with("steps", Attr::Strs(steps));
    let operands: Vec<Option<ValueId>> = merged.operands.into_iter().map(Some).collect();
    let chain = replace(graph, result.into(), result, op, &operands);
    merged.results.iter().for_each(|value| graph.add_origins(chain, value.node));
    Some(())
}

/// A chain as it is merged.
#[derive(Default)]
struct Merged {
    operands: Vec<ValueId>,
    steps: Vec<Step>,
    /// The result of each step in the graph.
    results: Vec<ValueId>,
}

impl Merged {
    fn add(&mut self, graph: &Graph, id: NodeId) -> Option<()> {
        let op = graph.node(id).as_op()?;
        let operands = graph.operands(id).iter().map(|operand| self.link(*operand)).collect();
        let is_float = |attr: &Attr| matches!(attr, Attr::Float(_));
        let attrs = op.attrs.iter().filter(|(_, attr)| is_float(attr));
        let attrs = attrs.map(|(name, attr)| (name.clone(), attr.clone())).collect();
        self.steps.push(Step { op: Op { attrs, ..Op::new(&op.name) }, operands });
        self.results.push(id.into());
        Some(())
    }

    fn link(&mut self, operand: Option<ValueId>) -> Link {
        let Some(value) = operand else { return Link::Absent };
        if let Some(step) = self.results.iter().position(|result| *result == value) {
            return Link::Step(step);
        }
        let known = self.operands.iter().position(|operand| *operand == value);
        Link::Operand(known.unwrap_or_else(|| {
            self.operands.push(value);
            self.operands.len() - 1
        }))
    }
}

/// What a chain can compute of a node.
fn operation(graph: &Graph, id: NodeId) -> Option<Operation> {
    let kind = |operand: &Option<ValueId>| match operand {
        None => Operand::Absent,
        Some(value) => graph.fixed(*value).map_or(Operand::Computed, Operand::Constant),
    };
    let operands: Vec<Operand<'_>> = graph.operands(id).iter().map(kind).collect();
    Operation::of(graph.node(id).as_op()?, &operands)
}

/// The values that are tensors of f32, as far as types are stated or follow from the operators. Where a model states a wrong type,
/// the kernel finds out.
fn floats(graph: &Graph, order: &[NodeId]) -> HashSet<ValueId> {
    let mut floats = HashSet::new();
    for &id in order {
        let node = graph.node(id);
        for (slot, value) in node.outputs.iter().enumerate() {
            let is_float = match (&value.ty, &node.kind) {
                (Some(Type::Tensor(ty)), _) => ty.dtype == DType::F32,
                (Some(_), _) | (None, NodeKind::Input(_) | NodeKind::Capture | NodeKind::Const(_)) => false,
                (None, NodeKind::Op(op)) if slot == 0 => returns_floats(graph, id, op, &floats),
                (None, NodeKind::Op(_)) => false,
            };
            if is_float {
                floats.insert(ValueId { node: id, slot });
            }
        }
    }
    floats
}

/// Whether the first result of an operator is f32.
fn returns_floats(graph: &Graph, id: NodeId, op: &Op, floats: &HashSet<ValueId>) -> bool {
    let is_float = |slot: usize| graph.operand(id, slot).is_some_and(|value| floats.contains(&value));
    if op.domain == DOMAIN {
        return match op.name.as_str() {
            "Conv" | "Product" => graph.operand(id, 8).is_none(),
            "AveragePool" | "GlobalAveragePool" | "MaxPool" | "Scaled" | "Sum" | "Table" | "Chain" => false,
            _ => true,
        };
    }
    match operation(graph, id) {
        Some(Operation::Quantize(_)) => false,
        // The operands of arithmetic have one type.
        Some(Operation::Binary(_)) => is_float(0) || is_float(1),
        Some(operation) => operation.is_of_floats() || is_float(0),
        None => match op.name.as_str() {
            "Conv" | "ConvTranspose" | "Gemm" | "MatMul" => is_float(0) || is_float(1),
            "Softmax" | "LogSoftmax" | "ReduceMean" | "ReduceSum" | "ReduceMax" => is_float(0),
            _ => KEEPING_TYPES.iter().any(|&property| op.has(property)) && is_float(0),
        },
    }
}

/// The properties of operators whose result has the type of the first operand.
const KEEPING_TYPES: [OperatorTrait; 4] = [
    OperatorTrait::Elementwise,
    OperatorTrait::Homogeneous,
    OperatorTrait::MovesData,
    OperatorTrait::PassesFeatureMap,
];

#[cfg(test)]
mod tests;
