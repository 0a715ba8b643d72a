//! Quantization after operations that only move integers.

use crate::names::Names;
use crate::new_nodes::pair;
use crate::qdq_params::{QdqParams, stored_constant};
use crate::uses::{float_uses, replace};
use intact8_ir::{DType, Graph, Model, NodeId, Op, OperatorSet, Pass, Result};

/// Repeats the quantization of an activation after an operation that only moves its numbers or selects the greatest,
/// where its result is used as floats: signed bytes, from opset 21 on.
///
/// The result is a multiple of the scale already, so nothing changes. ONNX Runtime inserts the same pair, but with
/// an `output_dtype` of signed bytes; on x86 it then changes the zero point to an unsigned byte, and fails to load
/// the model. Where the pair exists it inserts none.
///
/// ```qir before
/// model m opset 21
/// %x = input : f32[2,3]
/// %s = const [0.5] : f32[]
/// %o = const [3] : i8[]
/// %q = QuantizeLinear(%x, %s, %o) : i8[2,3]
/// %dq = DequantizeLinear(%q, %s, %o) : f32[2,3]
/// %t = Transpose(%dq) : f32[3,2]
/// %y = Tanh(%t)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 21
/// %x = input : f32[2,3]
/// %s = const [0.5] : f32[]
/// %o = const [3] : i8[]
/// %q = QuantizeLinear(%x, %s, %o) : i8[2,3]
/// %dq = DequantizeLinear(%q, %s, %o) : f32[2,3]
/// %t = Transpose(%dq) : f32[3,2]
/// %t.scale = const [0.5] : f32[]
/// %t.offset = const [3] : i8[]
/// %t.q = QuantizeLinear(%t, %t.scale, %t.offset) : i8[3,2]
/// %t.dq = DequantizeLinear(%t.q, %t.scale, %t.offset) : f32[3,2]
/// %y = Tanh(%t.dq)
/// return %y
/// ```
pub struct CarryForward;

/// The operations that ONNX Runtime moves a DequantizeLinear through.
const CARRYING: OperatorSet =
    OperatorSet::Named(&["MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"]);

/// The first operator set whose QuantizeLinear has an `output_dtype`.
const WITH_OUTPUT_DTYPE: i64 = 21;

impl Pass for CarryForward {
    fn name(&self) -> &'static str {
        "carry-forward"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        if model.opset() < WITH_OUTPUT_DTYPE {
            return Ok(false);
        }
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            // Producers first, so that one sweep goes through several operations.
            for id in graph.topo() {
                let Some(params) = carried(graph, id) else { continue };
                changed |= repeat(graph, id, &params, &mut names).is_some();
            }
            Ok(())
        })?;
        Ok(changed)
    }
}

/// The parameters of the signed bytes that an operation moves, if it does and a use of its result is not a QuantizeLinear.
fn carried(graph: &Graph, id: NodeId) -> Option<QdqParams> {
    graph.node(id).as_op().filter(|op: &&Op| CARRYING.contains(op))?;
    let value = graph.operand(id, 0)?;
    let params = QdqParams::of_dequantized(graph, value)?;
    let is_signed = params.dtype == DType::I8 && params.per_tensor().is_some();
    let is_activation = is_signed && stored_constant(graph, value).is_none();
    (is_activation && !float_uses(graph, id.into()).is_empty()).then_some(params)
}

/// Puts a pair after the first result of an operation, for all uses but QuantizeLinear.
fn repeat(graph: &mut Graph, id: NodeId, params: &QdqParams, names: &mut Names) -> Option<()> {
    let (uses, label) = (float_uses(graph, id.into()), graph.node(id).label().to_owned());
    let repeated = pair(graph, names, &label, id.into(), params)?;
    replace(graph, id.into(), repeated, &uses, names);
    Some(())
}
