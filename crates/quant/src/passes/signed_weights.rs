//! Signed weights.

use crate::names::Names;
use crate::new_nodes::constant;
use crate::qdq_params::{integer_tensor, integers, stored_constant};
use intact8_ir::{DType, Graph, Model, NodeId, Pass, Result, Tensor, ValueId};
use std::collections::HashMap;

/// Stores unsigned bytes before a DequantizeLinear as signed ones: 128 is subtracted from zero point and integers, which
/// represent the same numbers.
///
/// Runtimes with signed activations have no kernel that multiplies them by unsigned weights. Left alone: weights with
/// a scale per block. It uses nothing but the graph, so it also works on models that another tool quantized.
///
/// ```qir before
/// model m opset 17
/// %w = const [130, 126, 134, 255] : u8[2,2]
/// %scale = const [0.5, 1.0] : f32[2]
/// %offset = const [128, 120] : u8[2]
/// %y = DequantizeLinear(%w, %scale, %offset) {axis = 1}
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %scale = const [0.5, 1.0] : f32[2]
/// %w.i8 = const [2, -2, 6, 127] : i8[2,2]
/// %offset.i8 = const [0, -8] : i8[2]
/// %y = DequantizeLinear(%w.i8, %scale, %offset.i8) {axis = 1}
/// return %y
/// ```
pub struct SignedWeights;

impl Pass for SignedWeights {
    fn name(&self) -> &'static str {
        "signed-weights"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            // Layers that share a weight go on sharing it.
            let mut shifted: HashMap<ValueId, ValueId> = HashMap::new();
            for id in graph.topo() {
                changed |= shift(graph, id, &mut shifted, &mut names).is_some();
            }
            Ok(())
        })?;
        if changed {
            model.remove_dead();
        }
        Ok(changed)
    }
}

fn shift(
    graph: &mut Graph,
    id: NodeId,
    shifted: &mut HashMap<ValueId, ValueId>,
    names: &mut Names,
) -> Option<()> {
    let stored = stored_constant(graph, id.into()).filter(|stored| stored.params.dtype == DType::U8)?;
    let old = graph.operand(id, 0)?;
    let signed = |shape: &[usize], values: &[i32]| {
        integer_tensor(DType::I8, shape, &values.iter().map(|value| value - 128).collect::<Vec<_>>())
    };
    let new = signed(stored.integers.shape(), &integers(stored.integers)?)?;
    let offset_shape = graph.constant(graph.operand(id, 1)?).map(Tensor::shape)?;
    let offset = signed(offset_shape, &stored.params.offset)?;
    let name_of = |value: ValueId| format!("{}.i8", graph.value(value).name);
    let offset_name = match graph.operand(id, 2) {
        Some(offset) => name_of(offset),
        None => format!("{}.offset.i8", graph.value(id.into()).name),
    };
    let name = name_of(old);
    let integers = match shifted.get(&old) {
        Some(&integers) => integers,
        None => constant(graph, names, &name, new),
    };
    shifted.insert(old, integers);
    graph.set_operand(id, 0, Some(integers));
    let offset = constant(graph, names, &offset_name, offset);
    graph.set_operand(id, 2, Some(offset));
    Some(())
}
