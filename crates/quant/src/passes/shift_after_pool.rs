//! Addition of constants after a MaxPool, instead of before it.

use crate::uses::{constant_operand, has_one_use};
use intact8_ir::{Graph, Model, NodeId, Pass, Result};

/// Moves the addition of a constant from before a MaxPool to after it, where the constant is one value, or one for each channel.
///
/// The greatest of numbers plus a constant is the greatest number plus the constant, so the result is the same, bit by bit. The
/// addition has fewer elements then, and a layer before the MaxPool can return integers to it. A batch normalization after an
/// activation function leaves such an addition.
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

/// The addition before a MaxPool and the slot of its constant, if the two can change places.
fn shifted(graph: &Graph, pool: NodeId) -> Option<(NodeId, usize)> {
    let node = graph.node(pool);
    let has_indices = node.outputs.iter().skip(1).any(|value| !value.name.is_empty());
    if !node.is("MaxPool") || has_indices {
        return None;
    }
    let value = graph.operand(pool, 0).filter(|&value| has_one_use(graph, value))?;
    let addition = graph.node(value.node).is("Add").then_some(value.node)?;
    let (slot, constant) = constant_operand(graph, addition)?;
    let moved = graph.operand(addition, 1 - slot)?;
    let rank = |value| Some(graph.value(value).tensor_type()?.shape.as_ref()?.len());
    // The addition must not make more elements, and its constant none for single positions.
    let rank = rank(moved).filter(|&found| rank(value) == Some(found) && found >= 3)?;
    let shape = constant.shape();
    let is_per_channel =
        (1..=shape.len()).all(|from_end| from_end + 1 == rank || shape[shape.len() - from_end] == 1);
    let n_channels = graph.value(moved).tensor_type()?.shape.as_ref()?[1].known();
    let n_values = constant.len();
    (is_per_channel && (n_values == 1 || n_channels == Some(n_values))).then_some((addition, slot))
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
