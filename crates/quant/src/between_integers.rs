//! Layers between integers: their activation comes from a DequantizeLinear, and their result goes to a QuantizeLinear.
//!
//! ONNX Runtime gives the float weight of a Conv, ConvTranspose or Gemm in this position one 8-bit scale, and its float bias
//! 32-bit integers. It first moves the DequantizeLinear and the QuantizeLinear towards the layer, through operations that move
//! numbers. It reads nodes and changes nothing.

use crate::qdq_params::stored_constant;
use intact8_ir::{Graph, NodeId, OperatorTrait, ValueId};

/// Whether a node computes from dequantized integers, and some use of its result quantizes it.
pub(crate) fn is_between_integers(graph: &Graph, id: NodeId) -> bool {
    graph.operand(id, 0).is_some_and(|value| is_dequantized(graph, value)) && is_quantized(graph, id.into())
}

/// Whether a value is a dequantized activation, or one whose elements operations have moved.
pub(crate) fn is_dequantized(graph: &Graph, mut value: ValueId) -> bool {
    loop {
        let Some(op) = graph.node(value.node).as_op() else { return false };
        if op.is("DequantizeLinear") {
            return stored_constant(graph, value).is_none();
        }
        match graph.operand(value.node, 0) {
            Some(moved) if op.has(OperatorTrait::MovesData) => value = moved,
            _ => return false,
        }
    }
}

/// Whether a use of a value quantizes it, perhaps after it was clipped or moved.
fn is_quantized(graph: &Graph, value: ValueId) -> bool {
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        for (user, _) in graph.users(value).into_iter().filter(|&(_, slot)| slot == 0) {
            let Some(op) = graph.node(user).as_op() else { continue };
            if op.is("QuantizeLinear") {
                return true;
            }
            if op.is("Relu") || op.is("Clip") || op.has(OperatorTrait::MovesData) {
                pending.push(user.into());
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::Model;

    /// Whether the node `@layer` of a model is between integers, with these lines before and after it.
    fn is_found(before: &str, after: &str) -> bool {
        let text = format!(
            "model m opset 17\n%q = input : i8[1,4]\n%s = const [0.5] : f32[]\n%x = DequantizeLinear(%q, %s)\n\
             %w = const splat(1.0) : f32[4,4]\n{before}%y = Gemm(%a, %w) @layer\n{after}return %z\n"
        );
        let model: Model = text.parse().unwrap();
        let id = model.main().node_ids().find(|&id| model.main().node(id).name == "layer").unwrap();
        is_between_integers(model.main(), id)
    }

    #[test]
    fn integers_are_found_through_moves_and_clips() {
        let quantized = "%z = QuantizeLinear(%y, %s)\n";
        let moved = "%r = Relu(%y)\n%t = Transpose(%r)\n%z = QuantizeLinear(%t, %s)\n";
        assert!(is_found("%a = Transpose(%x)\n", quantized));
        assert!(is_found("%a = Transpose(%x)\n", moved));
        assert!(!is_found("%a = Tanh(%x)\n", quantized));
        assert!(!is_found("%a = Transpose(%x)\n", "%t = Tanh(%y)\n%z = QuantizeLinear(%t, %s)\n"));
        assert!(!is_found("%a = Transpose(%x)\n", "%z = Relu(%y)\n"));
        assert!(!is_found("%c = const splat(1) : i8[1,4]\n%a = DequantizeLinear(%c, %s)\n", quantized));
    }
}
