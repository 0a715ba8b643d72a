//! Values in blocks of channels, and operations that take them as they are.

use super::super::lowered_op;
use intact8_ir::{Attr, Graph, Node, NodeId, NodeKind, Op, OperatorTrait, Tensor, Value, ValueId};
use intact8_kernels::blocked::BLOCK;

/// What is known of the shape of a value in blocks, in the usual order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocks {
    pub(super) channels: usize,
    /// The number of dimensions.
    pub(super) rank: usize,
}

impl Blocks {
    /// Of a value that an Unblock makes.
    pub(super) fn of(graph: &Graph, value: ValueId) -> Option<Blocks> {
        let op = graph.node(value.node).as_op()?;
        let is_unblock = op.domain == super::super::DOMAIN && op.name == "Unblock";
        let number = |name: &str| usize::try_from(op.int(name).ok()?.filter(|_| is_unblock)?).ok();
        Some(Blocks { channels: number("channels")?, rank: number("rank")? })
    }
}

/// The value in blocks of channels.
pub(super) fn blocked(graph: &mut Graph, value: ValueId) -> ValueId {
    if Blocks::of(graph, value).is_some()
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
pub(super) fn unblock(graph: &mut Graph, value: ValueId, blocks: Blocks) {
    let op = lowered_op("Unblock")
        .with("channels", Attr::Int(blocks.channels as i64))
        .with("rank", Attr::Int(blocks.rank as i64));
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
    let blocks = match op.name.as_str() {
        "MaxPool" | "AveragePool" | "GlobalAveragePool" => {
            let blocks = Blocks::of(graph, graph.operand(id, 0)?)?;
            if let NodeKind::Op(op) = &mut graph.node_mut(id).kind {
                *op = Op { attrs: op.attrs.clone(), ..lowered_op(&format!("Blocked{}", op.name)) };
            }
            take_blocks(graph, id, 0);
            blocks
        }
        "Concat" => concat(graph, id)?,
        "Resize" => resize(graph, id)?,
        "Add" | "Sub" | "Mul" | "Div" | "Max" | "Min" => pair(graph, id)?,
        _ if op.has(OperatorTrait::Elementwise) && op.name != "PRelu" => {
            let blocks = Blocks::of(graph, graph.operand(id, 0)?)?;
            take_blocks(graph, id, 0);
            blocks
        }
        _ => return None,
    };
    unblock(graph, id.into(), blocks);
    Some(())
}

fn take_blocks(graph: &mut Graph, id: NodeId, slot: usize) {
    if let Some(value) = graph.operand(id, slot) {
        let blocks = blocked(graph, value);
        graph.set_operand(id, slot, Some(blocks));
    }
}

/// A Concat of channels that fill their blocks; the last operand need not.
fn concat(graph: &mut Graph, id: NodeId) -> Option<Blocks> {
    if graph.node(id).as_op()?.int("axis").ok()? != Some(1) {
        return None;
    }
    let operands = graph.operands(id).iter();
    let blocks = operands.map(|operand| Blocks::of(graph, (*operand)?)).collect::<Option<Vec<Blocks>>>()?;
    let (last, whole) = blocks.split_last()?;
    if !whole.iter().all(|blocks| blocks.channels.is_multiple_of(BLOCK) && blocks.rank == last.rank) {
        return None;
    }
    (0..blocks.len()).for_each(|slot| take_blocks(graph, id, slot));
    Some(Blocks { channels: blocks.iter().map(|blocks| blocks.channels).sum(), ..*last })
}

/// A Resize to the nearest elements by constant scales, which leaves the channels as they are.
fn resize(graph: &mut Graph, id: NodeId) -> Option<Blocks> {
    let blocks = Blocks::of(graph, graph.operand(id, 0)?)?;
    let op = graph.node(id).as_op()?;
    let is_nearest = op.str("mode").ok()?.unwrap_or("nearest") == "nearest";
    let has_region = op.str("coordinate_transformation_mode").ok()? == Some("tf_crop_and_resize");
    let has_others = op.attrs.contains_key("axes") || graph.operand(id, 3).is_some();
    if !is_nearest || has_region || has_others {
        return None;
    }
    let scales = graph.fixed(graph.operand(id, 2)?)?.values::<f32>().ok()?;
    if scales.len() != blocks.rank || scales[..2] != [1.0; 2] {
        return None;
    }
    let scales = [scales, &[1.0]].concat();
    let name = format!("{} scales blocked", graph.node(id).label());
    let constant = graph.add(Node::constant(name, Tensor::new(&[scales.len()], scales)), &[]);
    graph.set_operand(id, 2, Some(constant.into()));
    take_blocks(graph, id, 0);
    Some(blocks)
}

/// An operation on two operands of as many channels, or one and a constant for all or for each channel.
fn pair(graph: &mut Graph, id: NodeId) -> Option<Blocks> {
    let operands = [graph.operand(id, 0)?, graph.operand(id, 1)?];
    let found = operands.map(|operand| Blocks::of(graph, operand));
    let blocks = found[0].or(found[1])?;
    let mut constants = [None, None];
    for (slot, operand) in operands.into_iter().enumerate() {
        match found[slot] {
            Some(other) if other == blocks => {}
            Some(_) => return None,
            None => constants[slot] = Some(blocked_constant(graph.fixed(operand)?, blocks)?),
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
    Some(blocks)
}

/// A constant for all elements, or for each channel, `[channels, 1, …]` with or without a dimension for the batch.
fn blocked_constant(constant: &Tensor, Blocks { channels, rank }: Blocks) -> Option<Tensor> {
    let (values, shape) = (constant.values::<f32>().ok()?, constant.shape());
    if let [value] = values {
        return (shape.len() <= rank).then(|| Tensor::scalar(*value));
    }
    let ones = vec![1; rank - 2];
    let is_along_channels =
        shape == [&[channels], &ones[..]].concat() || shape == [&[1, channels], &ones[..]].concat();
    if !is_along_channels {
        return None;
    }
    let n_blocks = channels.div_ceil(BLOCK);
    let mut padded = values.to_vec();
    padded.resize(n_blocks * BLOCK, 0.0);
    Some(Tensor::new(&[&[n_blocks], &ones[..], &[BLOCK]].concat(), padded))
}
