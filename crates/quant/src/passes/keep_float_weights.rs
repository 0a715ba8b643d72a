//! Weights that ONNX Runtime must not quantize.

use crate::between_integers::is_between_integers;
use crate::linear_view::LinearKind;
use crate::names::Names;
use crate::new_nodes::{constant, operation};
use intact8_ir::{Attr, Graph, Model, NodeId, NodeKind, Op, Pass, Result, Tensor, ValueId};
use std::collections::HashSet;

/// Keeps ONNX Runtime from quantizing the float weights of a layer between integers.
///
/// Its optimizer gives the weight of a Conv, ConvTranspose or Gemm one 8-bit scale for all channels if the
/// activation is dequantized, the result is quantized, and weight and bias are constant floats, also those that it
/// computes of constants when it loads the model. It does not if the bias is computed by a DequantizeLinear, or has
/// another rank than 1. So the bias of a convolution becomes 32-bit integers whose scale is a power of two for each
/// channel, which represent it exactly, and that of a Gemm has two dimensions. A layer without a bias gets zeros.
///
/// Left alone: convolutions, where the target supports no 32-bit integers as a bias, and a bias that is not finite.
///
/// ```qir before
/// model m opset 17
/// %q = input : u8[N,1,4,4]
/// %s = const [0.5] : f32[]
/// %x = DequantizeLinear(%q, %s)
/// %w = const [1.0, -2.0] : f32[2,1,1,1]
/// %b = const [0.75, -3.0] : f32[2]
/// %c = Conv(%x, %w, %b) @conv
/// %y = QuantizeLinear(%c, %s) : u8[N,2,4,4]
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %q = input : u8[N,1,4,4]
/// %s = const [0.5] : f32[]
/// %x = DequantizeLinear(%q, %s)
/// %w = const [1.0, -2.0] : f32[2,1,1,1]
/// %conv.bias.q = const [12582912, -12582912] : i32[2]
/// %conv.bias.scale = const [5.9604645e-8, 2.3841858e-7] : f32[2]
/// %conv.bias = DequantizeLinear(%conv.bias.q, %conv.bias.scale) {axis = 0}
/// %c = Conv(%x, %w, %conv.bias) @conv
/// %y = QuantizeLinear(%c, %s) : u8[N,2,4,4]
/// return %y
/// ```
pub struct KeepFloatWeights {
    /// Whether the target supports a bias of 32-bit integers.
    pub integer_bias: bool,
}

impl Pass for KeepFloatWeights {
    fn name(&self) -> &'static str {
        "keep-float-weights"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let Some(bias) = self.bias(graph, id) else { continue };
                let name = format!("{}.bias", graph.node(id).label());
                let value = match bias {
                    Bias::Row(row) => constant(graph, &mut names, &name, row),
                    Bias::Integers(integers, scale) => {
                        let integers = constant(graph, &mut names, &format!("{name}.q"), integers);
                        let scale = constant(graph, &mut names, &format!("{name}.scale"), scale);
                        let op = Op::new("DequantizeLinear").with("axis", Attr::Int(0));
                        operation(graph, &mut names, &name, op, None, &[integers, scale])
                    }
                };
                graph.set_operand(id, 2, Some(value));
                changed = true;
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}

/// The bias that replaces that of a layer.
enum Bias {
    /// Floats `[1, n]`.
    Row(Tensor),
    /// 32-bit integers, and the scale of each.
    Integers(Tensor, Tensor),
}

impl KeepFloatWeights {
    /// The bias that a node needs, if it needs another one.
    fn bias(&self, graph: &Graph, id: NodeId) -> Option<Bias> {
        let op = graph.node(id).as_op()?;
        let kind = LinearKind::of(op).filter(|&kind| kind != LinearKind::MatMul)?;
        if kind.is_convolution() && !self.integer_bias || !is_between_integers(graph, id) {
            return None;
        }
        let weight = graph.operand(id, 1).filter(|&weight| is_computed_at_load(graph, weight))?;
        let bias = match graph.operand(id, 2) {
            Some(bias) => graph.constant(bias)?.values::<f32>().ok()?.to_vec(),
            None => vec![0.0; n_outputs(graph, op, kind, weight)?],
        };
        let is_row = |bias: ValueId| graph.constant(bias).is_some_and(|bias| bias.shape().len() == 1);
        match (kind, graph.operand(id, 2)) {
            (_, Some(bias)) if !is_row(bias) => None,
            (LinearKind::Gemm, _) => Some(Bias::Row(Tensor::new(&[1, bias.len()], bias))),
            _ => {
                let (integers, scales) = bias.iter().map(|&bias| exact(bias)).collect::<Option<_>>()?;
                let (integers, scales): (Vec<i32>, Vec<f32>) = (integers, scales);
                let n = [bias.len()];
                Some(Bias::Integers(Tensor::new(&n, integers), Tensor::new(&n, scales)))
            }
        }
    }
}

/// Whether a runtime computes a value when it loads the model: floats, or operations on constants. It leaves a DequantizeLinear
/// for the layer after it.
fn is_computed_at_load(graph: &Graph, value: ValueId) -> bool {
    let (mut pending, mut seen) = (vec![value], HashSet::new());
    while let Some(value) = pending.pop() {
        let node = graph.node(value.node);
        let is_computed = match &node.kind {
            NodeKind::Const(_) => true,
            NodeKind::Op(op) => !op.is("DequantizeLinear") && !graph.operands(value.node).is_empty(),
            _ => false,
        };
        if !is_computed {
            return false;
        }
        if seen.insert(value.node) {
            pending.extend(graph.operands(value.node).iter().flatten());
        }
    }
    true
}

/// The output channels of a layer, if the shape of its weight is known.
fn n_outputs(graph: &Graph, op: &Op, kind: LinearKind, weight: ValueId) -> Option<usize> {
    let stated = || graph.value(weight).tensor_type()?.known_shape();
    let shape = graph.constant(weight).map(|weight| weight.shape().to_vec()).or_else(stated)?;
    match kind {
        LinearKind::Conv => shape.first().copied(),
        LinearKind::ConvTranspose => {
            let groups = usize::try_from(op.int("group").ok()?.unwrap_or(1)).ok()?;
            shape.get(1).map(|&n| n * groups)
        }
        _ => {
            let axis = if op.int("transB").ok()?.unwrap_or(0) == 0 { 1 } else { 0 };
            shape.get(axis).copied()
        }
    }
}

/// A finite float as an integer of at most 24 bits times a power of two.
fn exact(value: f32) -> Option<(i32, f32)> {
    if value == 0.0 {
        return Some((0, 1.0));
    }
    let bits = value.to_bits();
    let exponent = (bits >> 23 & 0xff) as i32;
    let fraction = (bits & 0x7f_ffff) as i32;
    let (integer, exponent) = if exponent == 0 { (fraction, 1) } else { (fraction | 0x80_0000, exponent) };
    // 2^(exponent - 150), computed as a double, where it is a normal number.
    let scale = 2f64.powi(exponent - 150) as f32;
    value.is_finite().then_some((if value < 0.0 { -integer } else { integer }, scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::DType;

    #[test]
    fn floats_are_integers_times_a_power_of_two() {
        for value in [1.0f32, -0.1, 3.4e38, f32::MIN_POSITIVE, -1e-40, f32::from_bits(1), 0.0, 12345.678] {
            let (integer, scale) = exact(value).unwrap();
            assert_eq!(integer as f32 * scale, value);
            assert!(scale > 0.0 && integer.abs() < 1 << 24);
        }
        assert_eq!([f32::NAN, f32::INFINITY].map(exact), [None, None]);
    }

    /// The bias of a layer with a weight of that shape, between integers.
    fn bias_of(layer: &str, weight: &str) -> Option<(Vec<usize>, DType)> {
        let text = format!(
            "model m opset 17\n%q = input : u8[1,2]\n%s = const [0.5] : f32[]\n%x = DequantizeLinear(%q, %s)\n\
             %w = const splat(1.0) : f32[{weight}]\n%c = {layer} @layer\n%y = QuantizeLinear(%c, %s)\nreturn %y\n"
        );
        let mut model: Model = text.parse().unwrap();
        KeepFloatWeights { integer_bias: true }.run(&mut model).unwrap();
        let graph = model.main();
        let id = graph.node_ids().find(|&id| graph.node(id).name == "layer").unwrap();
        let bias = graph.operand(id, 2)?;
        let held = graph.constant(bias).or_else(|| graph.constant(graph.operand(bias.node, 0)?))?;
        Some((held.shape().to_vec(), held.dtype()))
    }

    #[test]
    fn layers_without_a_bias_get_zeros() {
        assert_eq!(bias_of("Conv(%x, %w)", "6,2,1"), Some((vec![6], DType::I32)));
        assert_eq!(bias_of("ConvTranspose(%x, %w) {group = 2}", "2,3,1"), Some((vec![6], DType::I32)));
        assert_eq!(bias_of("Gemm(%x, %w)", "2,3"), Some((vec![1, 3], DType::F32)));
        assert_eq!(bias_of("Gemm(%x, %w) {transB = 1}", "3,2"), Some((vec![1, 3], DType::F32)));
        assert_eq!(bias_of("MatMul(%x, %w)", "2,3"), None);
    }
}
