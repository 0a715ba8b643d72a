//! Quantization after operations that only move integers.

use crate::names::Names;
use crate::new_nodes::pair;
use crate::qdq_params::{QdqParams, stored_constant};
use crate::uses::{float_uses, replace};
use intact8_ir::{DType, Graph, GraphId, Model, NodeId, Op, OperatorSet, Pass, Result, ValueId, ValueRef};

/// Repeats the quantization of an activation after an operation that only moves its numbers or selects the greatest,
/// where its result is used as floats: signed bytes from opset 21 on, and values that a subgraph uses or ends with.
///
/// The result is a multiple of the scale already, so nothing changes. ONNX Runtime inserts the same pair, but with
/// an `output_dtype` of signed bytes; on x86 it then changes the zero point to an unsigned byte, and fails to load
/// the model. Where a subgraph uses the result, it ends the process while it inserts the pair, also if that is so only once the
/// subgraph has taken the place of its If. Where the pair exists it inserts none.
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
        let signed_too = model.opset() >= WITH_OUTPUT_DTYPE;
        let mut found: Vec<(GraphId, NodeId, QdqParams)> = Vec::new();
        for (within, graph) in model.graphs() {
            for id in graph.topo() {
                let Some(params) = carried(model, within, id) else { continue };
                let is_signed = signed_too && params.dtype == DType::I8;
                if is_signed || crosses(graph, id.into(), within != GraphId::MAIN) {
                    found.push((within, id, params));
                }
            }
        }
        let mut names = Names::of(model);
        let mut changed = false;
        for (within, id, params) in found {
            changed |= repeat(model.graph_mut(within), id, &params, &mut names).is_some();
        }
        Ok(changed)
    }
}

/// Whether a subgraph uses a value, or ends with it.
fn crosses(graph: &Graph, value: ValueId, is_subgraph: bool) -> bool {
    let is_captured = |&(user, slot): &(NodeId, usize)| slot >= graph.formal_operands(user).len();
    graph.users(value).iter().any(is_captured) || is_subgraph && graph.outputs().contains(&value)
}

/// The parameters of the bytes that an operation moves, if it does and a use of its result is not a QuantizeLinear.
fn carried(model: &Model, within: GraphId, id: NodeId) -> Option<QdqParams> {
    let graph = model.graph(within);
    graph.node(id).as_op().filter(|op: &&Op| CARRYING.contains(op))?;
    let params = dequantized(model, ValueRef { graph: within, value: graph.operand(id, 0)? })?;
    (!float_uses(graph, id.into()).is_empty()).then_some(params)
}

/// The parameters of the bytes that a value stands for, also behind operations that move them, and outside of or inside of subgraphs.
fn dequantized(model: &Model, value: ValueRef) -> Option<QdqParams> {
    let ValueRef { graph: within, value } = model.producer(value);
    let graph = model.graph(within);
    let op = graph.node(value.node).as_op()?;
    let operand = || Some(ValueRef { graph: within, value: graph.operand(value.node, 0)? });
    if op.is("Identity") || CARRYING.contains(op) {
        return dequantized(model, operand()?);
    }
    if op.is("If") {
        let mut ends = op.subgraphs().map(|branch| {
            let end = *model.graph(branch).outputs().get(value.slot)?;
            dequantized(model, ValueRef { graph: branch, value: end })
        });
        let first = ends.next()??;
        return ends.all(|end| end.as_ref() == Some(&first)).then_some(first);
    }
    let params = QdqParams::of_dequantized(graph, value)?;
    let is_bytes = matches!(params.dtype, DType::I8 | DType::U8) && params.per_tensor().is_some();
    (is_bytes && stored_constant(graph, value).is_none()).then_some(params)
}

/// Puts a pair after the first result of an operation, for all uses but QuantizeLinear.
fn repeat(graph: &mut Graph, id: NodeId, params: &QdqParams, names: &mut Names) -> Option<()> {
    let (uses, label) = (float_uses(graph, id.into()), graph.node(id).label().to_owned());
    let repeated = pair(graph, names, &label, id.into(), params)?;
    replace(graph, id.into(), repeated, &uses, names);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ONNX Runtime 1.32 ends the process where it moves a DequantizeLinear forward to a value that a subgraph uses.
    #[test]
    fn what_a_subgraph_uses_is_quantized_before_it() {
        let text = "model m opset 17\n%x = input : f32[1,4]\n%c = input : bool[]\n%s = const [0.5] : f32[]\n\
                    %o = const [3] : u8[]\n%q = QuantizeLinear(%x, %s, %o)\n%dq = DequantizeLinear(%q, %s, %o)\n\
                    %r = Squeeze(%dq)\n%z = If(%c; %r, %r) {else_branch = graph {\n  %r.1 = capture\n  \
                    %e = Tanh(%r.1)\n  return %e\n}, then_branch = graph {\n  %r.2 = capture\n  \
                    %a = const [0] : i64[1]\n  %t = Unsqueeze(%r.2, %a)\n  return %t\n}}\nreturn %z\n";
        let mut model: Model = text.parse().unwrap();
        assert!(CarryForward.run(&mut model).unwrap());
        let text = model.to_string();
        // After the Squeeze, and after the Unsqueeze, with which a branch ends.
        assert_eq!(text.matches("= QuantizeLinear").count(), 3, "{text}");
        assert!(!CarryForward.run(&mut model).unwrap());
    }
}
