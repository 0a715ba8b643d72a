//! The number of layers of a model file in integers, read from its nodes: the file may come from any tool.

use intact8_ir::{Graph, Model, NodeId, ValueId};
use intact8_quant::LayerCounts;

/// Convolutions and products, in float or between QuantizeLinear and DequantizeLinear.
const PRODUCTS: [&str; 4] = ["Conv", "ConvTranspose", "Gemm", "MatMul"];

/// Convolutions and products of integers.
const INTEGER_PRODUCTS: [&str; 9] = [
    "ConvInteger",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "QGemm",
    "QLinearConv",
    "QLinearMatMul",
    "FusedMatMulInteger",
    "QLinearConvTranspose",
];

/// The convolutions and products of a model by their arithmetic.
pub fn stored_arithmetic(model: &Model) -> LayerCounts {
    let mut counts = LayerCounts::default();
    for (_, graph) in model.graphs() {
        for id in graph.topo() {
            let Some(op) = graph.node(id).as_op() else { continue };
            let is_among = |names: &[&str]| names.contains(&op.name.as_str());
            if is_among(&INTEGER_PRODUCTS) || op.is("MatMulNBits") {
                *if op.is("MatMulNBits") { &mut counts.weights_only } else { &mut counts.int8 } += 1;
            } else if is_among(&PRODUCTS) {
                *match [0, 1].map(|slot| is_dequantized(graph, graph.operand(id, slot))) {
                    [true, true] => &mut counts.int8,
                    [false, true] => &mut counts.weights_only,
                    [_, false] => &mut counts.float,
                } += 1;
            }
        }
    }
    counts
}

/// Whether a value is a dequantized one, also behind operations that only move elements.
fn is_dequantized(graph: &Graph, value: Option<ValueId>) -> bool {
    let mut at: Option<NodeId> = value.map(|value| value.node);
    while let Some(id) = at {
        let Some(op) = graph.node(id).as_op() else { return false };
        match op.name.as_str() {
            "DequantizeLinear" => return true,
            "Reshape" | "Transpose" | "Flatten" | "Squeeze" | "Unsqueeze" | "Identity" => {
                at = graph.operand(id, 0).map(|value| value.node);
            }
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_counted_by_their_operands() {
        let text = "model m opset 17\n%x = input : f32[2,2]\n%s = const [0.5] : f32[]\n%z = const [0] : i8[]\n\
                    %w = const [1, 2, 3, 4] : i8[2,2]\n%f = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]\n\
                    %dw = DequantizeLinear(%w, %s, %z)\n%q = QuantizeLinear(%x, %s, %z)\n\
                    %dx = DequantizeLinear(%q, %s, %z)\n%t = Transpose(%dx)\n%a = MatMul(%t, %dw)\n\
                    %b = MatMul(%a, %dw)\n%c = MatMul(%b, %f)\nreturn %c\n";
        let counts = stored_arithmetic(&text.parse().unwrap());
        assert_eq!((counts.int8, counts.weights_only, counts.float), (1, 1, 1));
    }
}
