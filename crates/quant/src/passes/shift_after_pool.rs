//! Addition of constants after a pooling, instead of before it.

use crate::uses::{constant_operand, has_one_use};
use intact8_ir::{Graph, Model, NodeId, Pass, Result, Tensor, ValueId, WindowAttributes};

/// Moves the addition of a constant from before a pooling to after it, where the constant is one value, or one for each channel.
///
/// The greatest of numbers plus a constant is the greatest number plus the constant, bit by bit, and the mean likewise, up to
/// rounding. The addition has fewer elements then, and a layer before the pooling can return integers to it. A batch normalization
/// after an activation function leaves such an addition. Left alone: averages over padding.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2,4,4]
/// %shift = const [0.5, 0.25] : f32[2,1,1]
/// %a = Add(%x, %shift) @shifted : f32[N,2,4,4]
/// %y = MaxPool(%a) {kernel_shape = [2, 2], strides = [2, 2]} @pool : f32[N,2,2,2]
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2,4,4]
/// %shift = const [0.5, 0.25] : f32[2,1,1]
/// %a = MaxPool(%x) {kernel_shape = [2, 2], strides = [2, 2]} @pool : f32[N,2,2,2]
/// %y = Add(%a, %shift) @shifted : f32[N,2,2,2]
/// return %y
/// ```
pub struct ShiftAfterPool;

impl Pass for ShiftAfterPool {
    fn name(&self) -> &'static str {
        "shift-after-pool"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for pool in graph.topo() {
                // Of several additions the last one changes places first.
                while let Some((addition, slot)) = shifted(graph, pool) {
                    swap(graph, addition, pool, slot);
                    changed = true;
                }
            }
            Ok(())
        })?;
        Ok(changed)
    }
}

/// The addition before a pooling and the slot of its constant, if the two can change places.
fn shifted(graph: &Graph, pool: NodeId) -> Option<(NodeId, usize)> {
    let node = graph.node(pool);
    let op = node.as_op()?;
    let has_indices = node.outputs.iter().skip(1).any(|value| !value.name.is_empty());
    let pools = match op.name.as_str() {
        "GlobalAveragePool" | "GlobalMaxPool" => true,
        "MaxPool" => !has_indices,
        "AveragePool" => {
            WindowAttributes::of(op).is_ok_and(|window| window.never_pads())
                && op.int("ceil_mode").ok()? != Some(1)
        }
        _ => false,
    };
    if !pools || !op.domain.is_empty() {
        return None;
    }
    let value = graph.operand(pool, 0).filter(|&value| has_one_use(graph, value))?;
    let (slot, _) = added_to_channels(graph, value.node)?;
    Some((value.node, slot))
}

/// The constant that an addition adds, and its slot, if that is one value, or one for each channel, which dimension 1 counts.
pub(super) fn added_to_channels(graph: &Graph, addition: NodeId) -> Option<(usize, &Tensor)> {
    let (slot, constant) = constant_operand(graph, addition).filter(|_| graph.node(addition).is("Add"))?;
    let dims = |value: ValueId| graph.value(value).tensor_type()?.shape.as_ref();
    let (before, after) = (dims(graph.operand(addition, 1 - slot)?)?, dims(addition.into())?);
    let (rank, shape) = (before.len(), constant.shape());
    // The addition must not make more elements, and its constant has none for single positions.
    let is_per_channel =
        (1..=shape.len()).all(|from_end| from_end + 1 == rank || shape[shape.len() - from_end] == 1);
    let is_complete = constant.len() == 1 || before.get(1)?.known() == Some(constant.len());
    (after.len() == rank && is_per_channel && is_complete).then_some((slot, constant))
}

/// Makes `addition -> pool` `pool -> addition`; the results keep their names.
fn swap(graph: &mut Graph, addition: NodeId, pool: NodeId, slot: usize) {
    let moved = graph.operand(addition, 1 - slot);
    let users = graph.users(pool.into());
    let outputs =
        graph.outputs().iter().map(|&output| if output == pool.into() { addition.into() } else { output });
    let outputs = outputs.collect();
    graph.set_operand(pool, 0, moved);
    graph.set_operand(addition, 1 - slot, Some(pool.into()));
    users.into_iter().for_each(|(user, slot)| graph.set_operand(user, slot, Some(addition.into())));
    graph.set_outputs(outputs);
    let result = graph.node(pool).outputs[0].clone();
    let inner = std::mem::replace(&mut graph.node_mut(addition).outputs[0], result);
    let pooled = &mut graph.node_mut(pool).outputs[0];
    pooled.name = inner.name;
}
