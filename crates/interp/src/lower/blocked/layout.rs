//! Values in blocks of channels, and operations that take them as they are.

use super::super::lowered_op;
use intact8_ir::{Attr, Graph, Node, NodeId, NodeKind, Op, OperatorTrait, Tensor, Value, ValueId};
use intact8_kernels::blocked::BLOCK;

/// The number of channels of a value that an Unblock makes.
pub(super) fn channels_of(graph: &Graph, value: ValueId) -> Option<usize> {
    let op = graph.node(value.node).as_op()?;
    let is_unblock = op.domain == super::super::DOMAIN && op.name == "Unblock";
    usize::try_from(op.int("channels").ok()?.filter(|_| is_unblock)?).ok()
}

/// The value in blocks of channels.
pub(super) fn blocked(graph: &mut Graph, value: ValueId) -> ValueId {
    if channels_of(graph, value).is_some()
        && let Some(blocks) = graph.operand(value.node, 0)
    {
        return blocks;
    }
    let users = graph.users(value).into_iter().map(|(user, _)| user);
    let is_block = |op: &Op| op.domain == super::super::DOMAIN && op.name == "Block";
    let mut known = users.filter(|&user| graph.node(user).as_op().is_some_and(is_block));
    if let Some(known) = known.next() {
        return known.into();
    }
    let name = format!("{} blocked", graph.value(value).name);
    let label = graph.node(value.node).label().to_owned();
    graph.add(Node::op(&label, lowered_op("Block"), [Value::new(name)]), &[Some(value)]).into()
}

/// Makes the users of a value in blocks use it in the usual order.
pub(super) fn unblock(graph: &mut Graph, value: ValueId, channels: usize) {
    let op = lowered_op("Unblock").with("channels", Attr::Int(channels as i64));
    let label = graph.node(value.node).label().to_owned();
    let of_value = &mut graph.node_mut(value.node).outputs[value.slot];
    let inner = format!("{} blocked", of_value.name);
    let name = std::mem::replace(&mut of_value.name, inner);
    of_value.ty = None;
    let new = graph.add(Node::op(&label, op, [Value::new(name)]), &[Some(value)]);
    graph.replace_uses(value, new.into());
}

/// Whether a node has a use.
pub(super) fn is_alive(graph: &Graph, id: NodeId) -> bool {
    let mut values = (0..graph.node(id).outputs.len()).map(|slot| ValueId { node: id, slot });
    values.any(|value| !graph.users(value).is_empty() || graph.outputs().contains(&value))
}

/// Makes a node take blocks, if its operands are unblocked.
pub(super) fn sink(graph: &mut Graph, id: NodeId) -> Option<()> {
    let op = graph.node(id).as_op().filter(|op| op.domain.is_empty())?.clone();
    let has_one_output = graph.node(id).outputs.iter().filter(|value| !value.name.is_empty()).count() == 1;
    if !has_one_output {
        return None;
    }
    let channels = match op.name.as_str() {
        "MaxPool" | "AveragePool" | "GlobalAveragePool" => {
            let channels = channels_of(graph, graph.operand(id, 0)?)?;
            if let NodeKind::Op(op) = &mut graph.node_mut(id).kind {
                *op = Op { attrs: op.attrs.clone(), ..lowered_op(&format!("Blocked{}", op.name)) };
            }
            take_blocks(graph, id, 0);
            channels
        }
        "Concat" => concat(graph, id)?,
        "Add" | "Sub" | "Mul" | "Div" | "Max" | "Min" => pair(graph, id)?,
        _ if op.has(OperatorTrait::Elementwise) && op.name != "PRelu" => {
            let channels = channels_of(graph, graph.operand(id, 0)?)?;
            take_blocks(graph, id, 0);
            channels
        }
        _ => return None,
    };
    unblock(graph, id.into(), channels);
    Some(())
}

fn take_blocks(graph: &mut Graph, id: NodeId, slot: usize) {
    if let Some(value) = graph.operand(id, slot) {
        let blocks = blocked(graph, value);
        graph.set_operand(id, slot, Some(blocks));
    }
}

/// A Concat of channels that fill their blocks; the last operand need not.
fn concat(graph: &mut Graph, id: NodeId) -> Option<usize> {
    if graph.node(id).as_op()?.int("axis").ok()? != Some(1) {
        return None;
    }
    let operands = graph.operands(id).iter();
    let channels = operands.map(|operand| channels_of(graph, (*operand)?)).collect::<Option<Vec<usize>>>()?;
    let (_, whole) = channels.split_last()?;
    if !whole.iter().all(|channels| channels.is_multiple_of(BLOCK)) {
        return None;
    }
    (0..channels.len()).for_each(|slot| take_blocks(graph, id, slot));
    Some(channels.iter().sum())
}

/// An operation on two operands of as many channels, or one and a constant for all or for each channel.
fn pair(graph: &mut Graph, id: NodeId) -> Option<usize> {
    let operands = [graph.operand(id, 0)?, graph.operand(id, 1)?];
    let channels = operands.map(|operand| channels_of(graph, operand));
    let n_channels = channels[0].or(channels[1])?;
    let mut constants = [None, None];
    for (slot, operand) in operands.into_iter().enumerate() {
        match channels[slot] {
            Some(channels) if channels == n_channels => {}
            Some(_) => return None,
            None => constants[slot] = Some(blocked_constant(graph.constant(operand)?, n_channels)?),
        }
    }
    for (slot, constant) in constants.into_iter().enumerate() {
        match constant {
            Some(tensor) => {
                let name = format!("{} {slot} blocked", graph.node(id).label());
                let constant = graph.add(Node::constant(name, tensor), &[]);
                graph.set_operand(id, slot, Some(constant.into()));
            }
            None => take_blocks(graph, id, slot),
        }
    }
    Some(n_channels)
}

/// A constant for all elements, or for each channel with one or more dimensions of positions after it.
fn blocked_constant(constant: &Tensor, n_channels: usize) -> Option<Tensor> {
    let values = constant.values::<f32>().ok()?;
    if let [value] = values {
        return (constant.shape().len() <= 4).then(|| Tensor::scalar(*value));
    }
    let shape = constant.shape();
    let axis = shape.iter().position(|&n| n > 1)?;
    let n_positions = shape.len() - axis - 1;
    // With the batch, that is the rank of the other operand only if the constant has its dimension.
    let is_along_channels = shape[axis] == n_channels
        && values.len() == n_channels
        && (1..=3).contains(&n_positions)
        && axis == 1
        || axis == 0 && n_positions == 2 && values.len() == n_channels && shape[0] == n_channels;
    if !is_along_channels {
        return None;
    }
    let n_blocks = n_channels.div_ceil(BLOCK);
    let mut padded = values.to_vec();
    padded.resize(n_blocks * BLOCK, 0.0);
    let shape = [&[n_blocks], &vec![1; n_positions][..], &[BLOCK]].concat();
    Some(Tensor::new(&shape, padded))
}
