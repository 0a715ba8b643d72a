//! Quantization after a Split of integers.

use super::carry_through::moves;
use crate::names::Names;
use crate::new_nodes::pair;
use crate::qdq_params::{QdqParams, stored_constant};
use crate::uses::{other_uses, replace};
use intact8_ir::{Graph, Model, NodeId, OperatorSet, OperatorTrait, Pass, Result, ValueId};

/// Repeats the quantization of an activation after a Split, for all uses of its results as floats.
///
/// The results are multiples of the scale already, so nothing changes. ONNX Runtime splits integers if every result is quantized
/// with the parameters of the operand.
///
/// ```qir before
/// model m opset 17
/// %q = input : i8[2,4]
/// %s = const [0.5] : f32[]
/// %o = const [3] : i8[]
/// %x = DequantizeLinear(%q, %s, %o) : f32[2,4]
/// %a, %b = Split(%x) {axis = 1} @split : f32[2,2], f32[2,2]
/// %y = Tanh(%a)
/// %z = QuantizeLinear(%b, %s, %o)
/// return %y, %z
/// ```
///
/// ```qir after
/// model m opset 17
/// %q = input : i8[2,4]
/// %s = const [0.5] : f32[]
/// %o = const [3] : i8[]
/// %x = DequantizeLinear(%q, %s, %o) : f32[2,4]
/// %a, %b = Split(%x) {axis = 1} @split : f32[2,2], f32[2,2]
/// %split.scale = const [0.5] : f32[]
/// %split.offset = const [3] : i8[]
/// %split.q = QuantizeLinear(%a, %split.scale, %split.offset) : i8[2,2]
/// %split.dq = DequantizeLinear(%split.q, %split.scale, %split.offset) : f32[2,2]
/// %y = Tanh(%split.dq)
/// %z = QuantizeLinear(%b, %s, %o)
/// return %y, %z
/// ```
pub struct SplitIntegers {
    /// The operators that the target passes integers through.
    pub operators: OperatorSet,
}

impl Pass for SplitIntegers {
    fn name(&self) -> &'static str {
        "split-integers"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let Some(params) = self.split(graph, id) else { continue };
                let label = graph.node(id).label().to_owned();
                for slot in 0..graph.node(id).outputs.len() {
                    let value = ValueId { node: id, slot };
                    let uses = other_uses(graph, value, &params);
                    if uses.is_empty() {
                        continue;
                    }
                    if let Some(dequantized) = pair(graph, &mut names, &label, value, &params) {
                        replace(graph, value, dequantized, &uses, &mut names);
                        changed = true;
                    }
                }
            }
            Ok(())
        })?;
        Ok(changed)
    }
}

impl SplitIntegers {
    /// The parameters of the activation that a Split cuts, perhaps after its numbers were moved.
    fn split(&self, graph: &Graph, id: NodeId) -> Option<QdqParams> {
        graph.node(id).as_op().filter(|op| op.is("Split") && self.operators.contains(op))?;
        let mut value = graph.operand(id, 0)?;
        while let Some(op) = graph.node(value.node).as_op()
            && op.has(OperatorTrait::MovesData)
            && self.operators.contains(op)
            && !op.has(OperatorTrait::AllOperandsAreData)
        {
            value = graph.operand(value.node, 0).filter(|_| moves(graph, value.node))?;
        }
        let params =
            QdqParams::of_dequantized(graph, value).filter(|params| params.per_tensor().is_some())?;
        stored_constant(graph, value).is_none().then_some(params)
    }
}
