//! The deploy format of Huawei's AMCT, for the compiler of Ascend processors.

mod quantizers;

use crate::half_scales::nearest_short;
use crate::linear_view::{LinearKind, added_constant};
use crate::names::Names;
use crate::new_nodes::{constant, type_with};
use crate::qdq_params::{QdqParams, stored_constant};
use crate::quantized_linear::{QuantizedLinear, QuantizedValue, quantized_value};
use crate::uses::{constant_operand, has_one_use};
use intact8_ir::{
    Attr, DType, Error, Graph, Model, Node, NodeId, NodeKind, Op, OperatorTrait, Pass, Result, Tensor,
    TensorType, Type, Value,
};
use quantizers::{anti_quant, name_quant, quant, quantize_before_pad};

/// Writes quantized layers as in AMCT's deploy models: AscendQuant before the layer, integer weight and bias, and
/// AscendDequant after it, whose parameters are 64-bit integers that hold a scale each.
///
/// AscendQuant has the reciprocal of the scale. A bias does not contain the zero point's part: the compiler adds
/// that. An Add of a constant after a MatMul is its bias. A MatMul of two activations has no zero points, and
/// neither has a Conv of three dimensions. A Pad before an AveragePool is quantized before it pads. Values that are
/// quantized and are no operand of such a layer go through AscendQuant and AscendAntiQuant. The operators are in
/// ONNX's own domain, where only that compiler knows them.
///
/// An error: a quantized layer that can't be written so, which would be computed with floats.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2]
/// %s = const [0.5] : f32[]
/// %o = const [3] : i8[]
/// %x.q = QuantizeLinear(%x, %s, %o) : i8[N,2]
/// %x.dq = DequantizeLinear(%x.q, %s, %o) : f32[N,2]
/// %w.q = const [2, -2, 6, 127] : i8[2,2]
/// %w.s = const [1.0] : f32[]
/// %w = DequantizeLinear(%w.q, %w.s)
/// %y = MatMul(%x.dq, %w) @fc : f32[N,2]
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2]
/// %x.q = AscendQuant(%x) {dst_type = "INT8", offset = 3.0, scale = 2.0} @fc.quant : i8[N,2]
/// %fc.w = const [2, -2, 6, 127] : i8[2,2]
/// %fc.sums = MatMul(%x.q, %fc.w) @fc : i32[N,2]
/// %fc.dequant.param = const [1056964608] : u64[1]
/// %y = AscendDequant(%fc.sums, %fc.dequant.param) {dtype = 0} @fc.dequant : f32[N,2]
/// return %y
/// ```
pub struct LowerToAscend;

impl Pass for LowerToAscend {
    fn name(&self) -> &'static str {
        "lower-to-ascend"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let lowered = layer(graph, id, &mut names);
                changed |= lowered.map_err(|error| error.at(graph.node(id).label()))?;
            }
            Ok::<_, Error>(())
        })?;
        model.remove_dead();
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                changed |= quant(graph, id)?;
            }
            for id in graph.topo() {
                changed |= anti_quant(graph, id, &mut names)?;
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}

/// Writes a node with integers if it is a quantized layer; whether it is one.
fn layer(graph: &mut Graph, id: NodeId, names: &mut Names) -> Result<bool> {
    if let Some(layer) = QuantizedLinear::at(graph, id).filter(|layer| layer.weight_offset.is_none()) {
        let is_of_volumes = layer.view.kind == LinearKind::Conv && layer.weight.shape().len() == 5;
        if is_of_volumes && layer.x.offset != 0 {
            return Err(Error::unsupported(NO_OFFSETS));
        }
        if layer.weight.dtype() == DType::I8 {
            return Ok(product(graph, id, &layer, names).is_some());
        }
    }
    if let Some([left, right]) = factors(graph, id) {
        let has_weight = graph.constant(right.bytes).is_some();
        if right.offset != 0 || left.offset != 0 && !has_weight {
            return Err(Error::unsupported(NO_OFFSETS));
        }
        return Ok(product_of_two(graph, id, &left, &right, names).is_some());
    }
    if average(graph, id, names).is_some() {
        return Ok(true);
    }
    if is_quantized_layer(graph, id) {
        let message = "can't be computed with integers on Ascend: only Conv, ConvTranspose, Gemm and MatMul with 8-bit \
                       activations, weights without zero points and a bias of 32-bit integers, MatMul of two 8-bit \
                       activations, and AveragePool can; leave it in float";
        return Err(Error::unsupported(message));
    }
    Ok(false)
}

const NO_OFFSETS: &str = "has a zero point, which Ascend does not support for a MatMul of two activations and a Conv of three \
                          dimensions; quantize it without (asymmetric: false)";

/// Whether a node multiplies two quantized operands.
fn is_quantized_layer(graph: &Graph, id: NodeId) -> bool {
    let multiplies = |op: &Op| LinearKind::of(op).is_some() || op.has(OperatorTrait::Recurrent);
    let is_quantized = |slot: usize| {
        let operand = graph.operand(id, slot);
        operand.is_some_and(|value| QdqParams::of_dequantized(graph, value).is_some())
    };
    graph.node(id).as_op().is_some_and(multiplies) && is_quantized(0) && is_quantized(1)
}

/// The factors of a MatMul of quantized values, of which the second may be a stack of constant matrices.
fn factors(graph: &Graph, id: NodeId) -> Option<[QuantizedValue; 2]> {
    let is_signed = |value: &QuantizedValue| value.params.dtype == DType::I8;
    let factor = |slot: usize| quantized_value(graph, graph.operand(id, slot)?).filter(is_signed);
    let factors = [factor(0)?, factor(1)?];
    (graph.node(id).is("MatMul") && graph.constant(factors[0].bytes).is_none()).then_some(factors)
}

/// A layer with weights: its operands and products are integers.
fn product(graph: &mut Graph, id: NodeId, product: &QuantizedLinear, names: &mut Names) -> Option<()> {
    let label = graph.node(id).label().to_owned();
    let scales = product.scales();
    let added = added_bias(graph, id, &scales).filter(|_| product.view.kind == LinearKind::MatMul);
    let weight = constant(graph, names, &format!("{label}.w"), product.weight.clone());
    graph.set_operand(id, 0, Some(product.x.bytes));
    graph.set_operand(id, 1, Some(weight));
    if let NodeKind::Op(op) = &mut graph.node_mut(id).kind {
        op.attrs.remove("transB");
    }
    if let Some(bias) = &product.bias {
        let bias = constant(graph, names, &format!("{label}.b"), Tensor::new(&[bias.len()], bias.clone()));
        graph.set_operand(id, 2, Some(bias));
    }
    name_quant(graph, product.x.bytes, &label, names);
    let last = added.map_or(Some(id), |added| put_added_bias(graph, id, added, &label, names))?;
    dequantize(graph, last, &label, &scales, names)
}

/// A MatMul of two activations, or of one and a stack of matrices.
fn product_of_two(
    graph: &mut Graph,
    id: NodeId,
    left: &QuantizedValue,
    right: &QuantizedValue,
    names: &mut Names,
) -> Option<()> {
    let label = graph.node(id).label().to_owned();
    let scales = [left.scale * right.scale];
    let added = added_bias(graph, id, &scales);
    graph.set_operand(id, 0, Some(left.bytes));
    graph.set_operand(id, 1, Some(right.bytes));
    name_quant(graph, left.bytes, &label, names);
    name_quant(graph, right.bytes, &format!("{label}.x1"), names);
    let last = added.map_or(Some(id), |added| put_added_bias(graph, id, added, &label, names))?;
    dequantize(graph, last, &label, &scales, names)
}

/// Writes the constant of the Add after a MatMul as integers; the Add.
fn put_added_bias(
    graph: &mut Graph,
    id: NodeId,
    (add, bias): (NodeId, Vec<i32>),
    label: &str,
    names: &mut Names,
) -> Option<NodeId> {
    // The name of the sum in the middle is free again.
    let ty = type_with(graph, add.into(), DType::I32);
    graph.node_mut(id).outputs[0].ty = ty.map(Type::Tensor);
    let (slot, _) = constant_operand(graph, add)?;
    let bias = constant(graph, names, &format!("{label}.b"), Tensor::new(&[bias.len()], bias));
    graph.set_operand(add, slot, Some(bias));
    Some(add)
}

/// An AveragePool, which has no weight.
fn average(graph: &mut Graph, id: NodeId, names: &mut Names) -> Option<()> {
    if !graph.node(id).is("AveragePool") {
        return None;
    }
    let x: QuantizedValue = quantized_value(graph, graph.operand(id, 0)?)?;
    let label = graph.node(id).label().to_owned();
    let padded = quantize_before_pad(graph, &x, &label, names);
    graph.set_operand(id, 0, Some(padded.unwrap_or(x.bytes)));
    name_quant(graph, x.bytes, &label, names);
    dequantize(graph, id, &label, &[x.scale], names)
}

/// Puts an AscendDequant after a node; the result keeps its name. Its parameters have the scale's bits in the lower half; shift and
/// offset above them are 0.
fn dequantize(graph: &mut Graph, id: NodeId, label: &str, scales: &[f32], names: &mut Names) -> Option<()> {
    let packed: Vec<u64> = scales.iter().map(|&scale| u64::from(nearest_short(scale).to_bits())).collect();
    let param = Tensor::new(&[packed.len()], packed);
    let param = constant(graph, names, &format!("{label}.dequant.param"), param);
    let result = graph.node(id).outputs[0].clone();
    let sums = Value {
        ty: type_with(graph, id.into(), DType::I32).map(Type::Tensor),
        ..Value::new(names.fresh(&format!("{label}.sums")))
    };
    graph.node_mut(id).outputs[0] = sums;
    let op = Op::new("AscendDequant").with("dtype", Attr::Int(0));
    let name = names.fresh(&format!("{label}.dequant"));
    let node = Node::op(&name, op, [Value { ty: with_floats(result.ty), ..result }]);
    let dequant = graph.add(node, &[Some(id.into()), Some(param)]);
    graph.replace_uses(id.into(), dequant.into());
    Some(())
}

fn with_floats(ty: Option<Type>) -> Option<Type> {
    match ty {
        Some(Type::Tensor(ty)) => Some(Type::Tensor(TensorType { dtype: DType::F32, ..ty })),
        other => other,
    }
}

/// The Add of a constant that is the only use of a MatMul's result, and the constant in units of the products.
fn added_bias(graph: &Graph, id: NodeId, scales: &[f32]) -> Option<(NodeId, Vec<i32>)> {
    let (add, _, tensor) = added_constant(graph, id).filter(|_| has_one_use(graph, id.into()))?;
    let n_channels = stored_constant(graph, graph.operand(id, 1)?)?.integers.shape().last().copied()?;
    let values = tensor.values::<f32>().ok().filter(|_| tensor.shape() == [n_channels])?;
    let integer = |(channel, value): (usize, &f32)| {
        let scale = scales[if scales.len() == 1 { 0 } else { channel }];
        let integer = (f64::from(*value) / f64::from(scale)).round_ties_even();
        (integer.abs() < f64::from(i32::MAX)).then_some(integer as i32)
    };
    Some((add, values.iter().enumerate().map(integer).collect::<Option<_>>()?))
}
