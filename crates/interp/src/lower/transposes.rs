//! The order of channels: convolutions of bytes have them last, and what is between two of them follows.

use intact8_ir::{
    Attr, Graph, Model, Node, NodeId, Op, OperatorTrait, Pass, Result, Tensor, Value, ValueId, with_element,
};
use std::collections::HashSet;

/// Moves a Transpose of channels that are last behind operations that work in any order of dimensions, if its inverse follows, and
/// removes pairs that cancel.
///
/// ```qir before
/// model m opset 17
/// %x = input : u8[N,H,W,3]
/// %t = Transpose(%x) {perm = [0, 3, 1, 2]}
/// %m = Relu(%t)
/// %y = Transpose(%m) {perm = [0, 2, 3, 1]}
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17, intact8.lowered 1
/// %x = input : u8[N,H,W,3]
/// %"m [0, 3, 1, 2]" = Relu(%x) @m
/// return %"m [0, 3, 1, 2]"
/// ```
pub(super) struct SinkTransposes;

impl Pass for SinkTransposes {
    fn name(&self) -> &'static str {
        "sink-transposes"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            let order = graph.topo();
            let wanted = wanted(graph, &order);
            for id in order {
                changed |= cancel(graph, id) || wanted.contains(&id) && sink(graph, id);
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}

/// The value with its channels last.
pub(super) fn to_channels_last(graph: &mut Graph, value: ValueId, rank: usize) -> ValueId {
    let perm = [&[0], &(2..rank).collect::<Vec<_>>()[..], &[1]].concat();
    transposed(graph, value, &perm)
}

/// Makes the users of a value with its channels last use it with its channels second.
pub(super) fn from_channels_last(graph: &mut Graph, value: ValueId, rank: usize) {
    let perm = [&[0, rank - 1], &(1..rank - 1).collect::<Vec<_>>()[..]].concat();
    transpose_result(graph, value, &perm);
}

fn transposed(graph: &mut Graph, value: ValueId, perm: &[usize]) -> ValueId {
    let name = format!("{} {perm:?}", graph.value(value).name);
    let perm: Vec<i64> = perm.iter().map(|&axis| axis as i64).collect();
    let op = Op::new("Transpose").with("perm", Attr::Ints(perm));
    let label = graph.node(value.node).label().to_owned();
    graph.add(Node::op(&label, op, [Value::new(name)]), &[Some(value)]).into()
}

/// Puts a Transpose between a value and its users, to which it gives the value's name.
fn transpose_result(graph: &mut Graph, value: ValueId, perm: &[usize]) {
    let new = transposed(graph, value, perm);
    let inner = std::mem::take(&mut graph.node_mut(new.node).outputs[0].name);
    let of_value = &mut graph.node_mut(value.node).outputs[value.slot];
    let name = std::mem::replace(&mut of_value.name, inner);
    of_value.ty = None;
    graph.node_mut(new.node).outputs[0].name = name;
    graph.replace_uses(value, new);
}

/// The number of dimensions of the result of a Transpose.
pub(super) fn rank(graph: &Graph, value: ValueId) -> Option<usize> {
    perm(graph, value.node).map(|perm| perm.len())
}

/// The permutation of a Transpose.
fn perm(graph: &Graph, id: NodeId) -> Option<Vec<usize>> {
    let op = graph.node(id).as_op().filter(|op| op.is("Transpose"))?;
    let perm = op.ints("perm").ok()??;
    perm.iter().map(|&axis| usize::try_from(axis).ok()).collect()
}

/// Whether a permutation puts the last dimension, that of channels, second.
fn is_from_channels_last(perm: &[usize]) -> bool {
    let rest = perm.iter().skip(2).enumerate().all(|(axis, &from)| from == axis + 1);
    perm.len() > 2 && perm[0] == 0 && perm[1] == perm.len() - 1 && rest
}

/// The nodes whose results a Transpose puts in order with channels last, directly or after operations that work in any order.
fn wanted(graph: &Graph, order: &[NodeId]) -> HashSet<NodeId> {
    let mut wanted = HashSet::new();
    for &id in order.iter().rev() {
        let is_in_any_order =
            |user: NodeId| graph.node(user).as_op().is_some_and(|op| Order::of(op).is_some());
        let wants = |&(user, _): &(NodeId, usize)| {
            let perm = perm(graph, user);
            perm.is_some_and(|perm| is_from_channels_last(&inverse(&perm)))
                || wanted.contains(&user) && is_in_any_order(user)
        };
        let outputs = 0..graph.node(id).outputs.len();
        if outputs.flat_map(|slot| graph.users(ValueId { node: id, slot })).any(|user| wants(&user)) {
            wanted.insert(id);
        }
    }
    wanted
}

fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; perm.len()];
    perm.iter().enumerate().for_each(|(axis, &from)| inverse[from.min(perm.len() - 1)] = axis);
    inverse
}

/// Removes a Transpose after its inverse.
fn cancel(graph: &mut Graph, id: NodeId) -> bool {
    let inverse = || {
        let perm_here = perm(graph, id)?;
        let before = graph.operand(id, 0)?.node;
        let perm_before = perm(graph, before)?;
        let is_inverse = perm_here == inverse(&perm_before);
        graph.operand(before, 0).filter(|_| is_inverse)
    };
    let Some(source) = inverse() else { return false };
    graph.replace_uses(id.into(), source);
    true
}

/// Moves the Transposes of a node's operands behind it.
fn sink(graph: &mut Graph, id: NodeId) -> bool {
    let Some(sunk) = Sunk::at(graph, id) else { return false };
    sunk.apply(graph, id);
    true
}

/// A node that can work on operands that are not transposed.
struct Sunk {
    perm: Vec<usize>,
    /// The data operands, by slot: without their Transpose, or constants in the other order.
    operands: Vec<(usize, Untransposed)>,
    /// The attribute `axis`, if the operator has one.
    axis: Option<i64>,
}

enum Untransposed {
    Value(ValueId),
    Constant(Tensor),
    /// A value that must be transposed for this node.
    Other(ValueId),
}

impl Sunk {
    fn at(graph: &Graph, id: NodeId) -> Option<Sunk> {
        let op = graph.node(id).as_op()?;
        let how = Order::of(op)?;
        let is_quantizer = op.has(OperatorTrait::Quantizes);
        if is_quantizer && graph.fixed(graph.operand(id, 1)?)?.len() != 1 {
            return None;
        }
        let is_named = |value: &Value| !value.name.is_empty();
        if graph.node(id).outputs.iter().filter(|value| is_named(value)).count() != 1 {
            return None;
        }
        let slots = how.data_slots(graph.operands(id).len());
        let mut perms = slots.iter().filter_map(|&slot| perm(graph, graph.operand(id, slot)?.node));
        let perm_here = perms.find(|perm| is_from_channels_last(perm))?;
        let rank = perm_here.len();
        let mut operands = Vec::new();
        for slot in slots {
            let value = graph.operand(id, slot)?;
            let operand = match (perm(graph, value.node), graph.fixed(value)) {
                (Some(other), _) if other == perm_here => Untransposed::Value(graph.operand(value.node, 0)?),
                (_, Some(constant)) => Untransposed::Constant(untransposed(constant, &perm_here)?),
                // Other values have the same rank, or else they would be broadcast.
                (_, None) if graph.value(value).tensor_type()?.shape.as_ref()?.len() == rank => {
                    Untransposed::Other(value)
                }
                _ => return None,
            };
            operands.push((slot, operand));
        }
        let axis = match how {
            Order::Concat => {
                let axis = op.int("axis").ok()??;
                let axis = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok()?;
                Some(*perm_here.get(axis)? as i64)
            }
            Order::First | Order::All | Order::Pair => None,
        };
        Some(Sunk { perm: perm_here, operands, axis })
    }

    fn apply(self, graph: &mut Graph, id: NodeId) {
        for (slot, operand) in self.operands {
            let value = match operand {
                Untransposed::Value(value) => value,
                Untransposed::Constant(tensor) => {
                    let name = format!("{} {slot} {:?}", graph.node(id).label(), self.perm);
                    graph.add(Node::constant(name, tensor), &[]).into()
                }
                Untransposed::Other(value) => transposed(graph, value, &inverse(&self.perm)),
            };
            graph.set_operand(id, slot, Some(value));
        }
        if let (Some(axis), intact8_ir::NodeKind::Op(op)) = (self.axis, &mut graph.node_mut(id).kind) {
            op.attrs.insert("axis".to_owned(), Attr::Int(axis));
        }
        transpose_result(graph, id.into(), &self.perm);
    }
}

/// How an operator depends on the order of dimensions.
#[derive(Clone, Copy)]
enum Order {
    /// Not at all; the first operand has the dimensions of the result, the others are parameters.
    First,
    /// Not at all; all operands are broadcast.
    All,
    /// Not at all; the first and the fourth operand are data.
    Pair,
    /// By the attribute `axis`; all operands have the dimensions of the result.
    Concat,
}

impl Order {
    fn of(op: &Op) -> Option<Order> {
        match (op.domain.as_str(), op.name.as_str()) {
            ("", "Add" | "Sub" | "Mul" | "Div" | "Max" | "Min") => Some(Order::All),
            ("", "Concat") => Some(Order::Concat),
            ("", "QuantizeLinear" | "DequantizeLinear") => Some(Order::First),
            ("", "PRelu") => None,
            ("", _) if op.has(OperatorTrait::Elementwise) => Some(Order::First),
            (super::DOMAIN, "Table") => Some(Order::First),
            (super::DOMAIN, "Sum" | "Scaled") => Some(Order::Pair),
            _ => None,
        }
    }

    fn data_slots(self, n_operands: usize) -> Vec<usize> {
        match self {
            Order::First => vec![0],
            Order::All | Order::Concat => (0..n_operands).collect(),
            Order::Pair => vec![0, 3],
        }
    }
}

/// A constant as it is before a Transpose; one of lower rank is broadcast.
fn untransposed(constant: &Tensor, perm: &[usize]) -> Option<Tensor> {
    let missing = perm.len().checked_sub(constant.shape().len())?;
    let shape: Vec<usize> = std::iter::repeat_n(1, missing).chain(constant.shape().iter().copied()).collect();
    let whole = constant.reshaped(&shape)?;
    with_element!(whole.dtype(), [F32 I8 U8 I32 I64], T => {
        Some(Tensor::from_array(&whole.view::<T>().ok()?.permuted_axes(inverse(perm))))
    }, _other => None)
}
