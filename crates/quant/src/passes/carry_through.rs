//! Quantization before operations that only move numbers, instead of after them.

use crate::names::Names;
use crate::new_nodes::pair;
use crate::qdq_params::{QdqParams, quantized_as};
use crate::uses::data_operands;
use intact8_ir::{Graph, Model, NodeId, OperatorSet, Pass, Result};

/// Moves quantization before an operation that only moves numbers, selects the greatest, or clips, if all uses of
/// its result quantize it alike. So the layer before it returns integers, and the operation moves integers.
///
/// The QuantizeLinear after the operation stays and changes nothing any more. The integers are the same, bit by
/// bit. Left alone: interpolation, the indices of a pooling, and values that are also used as floats or quantized
/// with another scale. It uses nothing but the graph, so it also works on models that another tool quantized.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2,4,4]
/// %m = MaxPool(%x) {kernel_shape = [2, 2]} : f32[N,2,3,3]
/// %scale = const [0.5] : f32[]
/// %offset = const [0] : i8[]
/// %q = QuantizeLinear(%m, %scale, %offset)
/// return %q
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2,4,4]
/// %m.x.scale = const [0.5] : f32[]
/// %m.x.offset = const [0] : i8[]
/// %m.x.q = QuantizeLinear(%x, %m.x.scale, %m.x.offset) : i8[N,2,4,4]
/// %m.x.dq = DequantizeLinear(%m.x.q, %m.x.scale, %m.x.offset) : f32[N,2,4,4]
/// %m = MaxPool(%m.x.dq) {kernel_shape = [2, 2]} : f32[N,2,3,3]
/// %scale = const [0.5] : f32[]
/// %offset = const [0] : i8[]
/// %q = QuantizeLinear(%m, %scale, %offset)
/// return %q
/// ```
pub struct CarryThrough {
    /// The operators that the target passes integers through.
    pub operators: OperatorSet,
}

impl Pass for CarryThrough {
    fn name(&self) -> &'static str {
        "carry-through"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            // Users first, so that one sweep moves quantization through several operations.
            for id in graph.topo().into_iter().rev() {
                let Some((params, slots)) = self.carried(graph, id) else { continue };
                let label = graph.node(id).label().to_owned();
                for slot in slots {
                    let Some(value) = graph.operand(id, slot) else { continue };
                    let suffix = if slot == 0 { "x".to_owned() } else { format!("x{slot}") };
                    let made = pair(graph, &mut names, &format!("{label}.{suffix}"), value, &params);
                    graph.set_operand(id, slot, made.or(Some(value)));
                    changed |= made.is_some();
                }
            }
            Ok(())
        })?;
        Ok(changed)
    }
}

impl CarryThrough {
    /// The parameters with which an operation's inputs are quantized, and these inputs.
    fn carried(&self, graph: &Graph, id: NodeId) -> Option<(QdqParams, Vec<usize>)> {
        let node = graph.node(id);
        let op = node.as_op()?;
        let is_alone = node.outputs.iter().skip(1).all(|value| value.name.is_empty());
        if !is_alone || !self.operators.contains(op) || !moves(graph, id) {
            return None;
        }
        let params = quantized_as(graph, id.into()).filter(|params| params.per_tensor().is_some())?;
        let is_open = |&slot: &usize| {
            let value = graph.operand(id, slot);
            value.is_some_and(|value| QdqParams::of_dequantized(graph, value).is_none())
        };
        let open: Vec<usize> = data_operands(graph, id).filter(is_open).collect();
        (!open.is_empty()).then_some((params, open))
    }
}

/// Whether an operation of such an operator only moves numbers, or selects the greatest.
pub(crate) fn moves(graph: &Graph, id: NodeId) -> bool {
    let Some(op) = graph.node(id).as_op() else { return false };
    match op.name.as_str() {
        "Resize" => {
            matches!(op.str("mode"), Ok(None | Some("nearest")))
                && !op.attrs.contains_key("extrapolation_value")
        }
        _ => true,
    }
}
