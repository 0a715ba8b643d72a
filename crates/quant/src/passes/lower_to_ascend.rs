//! The deploy format of Huawei's AMCT, for the compiler of Ascend processors.

use crate::linear_view::{LinearKind, added_constant};
use crate::names::Names;
use crate::new_nodes::{constant, type_with};
use crate::qdq_params::{QdqParams, stored_constant};
use crate::quantized_linear::{QuantizedLinear, QuantizedValue, quantized_value};
use crate::uses::{constant_operand, detach, has_one_use};
use intact8_ir::{
    Attr, DType, Error, Graph, Model, Node, NodeId, NodeKind, Op, Pass, Result, Tensor, TensorType, Type,
    Value, ValueId,
};

/// Writes quantized layers as in AMCT's deploy models: AscendQuant before the layer, integer weight and bias, and
/// AscendDequant after it, whose parameters are 64-bit integers that hold a scale each.
///
/// AscendQuant has the reciprocal of the scale. A bias does not contain the zero point's part: the compiler adds
/// that. An Add of a constant after a MatMul is its bias. Values that are quantized and are no operand of such a
/// layer go through AscendQuant and AscendAntiQuant. The operators are in ONNX's own domain, where only that
/// compiler knows them.
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
pub struct LowerToAscend {
    /// Whether the scales of AscendDequant have the 19 bits that the device keeps, as in AMCT's `FORCE_FP16_QUANT`.
    pub short_scales: bool,
}

/// The bits of a scale that the device keeps.
const SHORT_SCALE: u32 = 0xFFFF_E000;

impl Pass for LowerToAscend {
    fn name(&self) -> &'static str {
        "lower-to-ascend"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let lowered = match QuantizedLinear::at(graph, id) {
                    Some(product) => self.product(graph, id, &product, &mut names),
                    None => self.average(graph, id, &mut names),
                };
                changed |= lowered.is_some();
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

impl LowerToAscend {
    /// A layer with weights: its operands and products are integers.
    fn product(
        &self,
        graph: &mut Graph,
        id: NodeId,
        product: &QuantizedLinear,
        names: &mut Names,
    ) -> Option<()> {
        if product.weight_offset.is_some() || product.weight.dtype() != DType::I8 {
            return None;
        }
        let label = graph.node(id).label().to_owned();
        let scales = product.scales();
        let (last, bias) = match (product.view.kind, &product.bias) {
            (LinearKind::MatMul, _) => {
                added_bias(graph, id, &scales).map_or((id, None), |(add, bias)| (add, Some(bias)))
            }
            (_, bias) => (id, bias.clone()),
        };
        if last != id {
            // The name of the sum in the middle is free again.
            let ty = type_with(graph, last.into(), DType::I32);
            graph.node_mut(id).outputs[0].ty = ty.map(Type::Tensor);
        }
        let weight = constant(graph, names, &format!("{label}.w"), product.weight.clone());
        graph.set_operand(id, 0, Some(product.x.bytes));
        graph.set_operand(id, 1, Some(weight));
        if let NodeKind::Op(op) = &mut graph.node_mut(id).kind {
            op.attrs.remove("transB");
        }
        if let Some(bias) = bias {
            let bias = constant(graph, names, &format!("{label}.b"), Tensor::new(&[bias.len()], bias));
            let slot = if last == id { 2 } else { constant_operand(graph, last)?.0 };
            graph.set_operand(last, slot, Some(bias));
        }
        name_quant(graph, product.x.bytes, &label, names);
        self.dequantize(graph, last, &label, &scales, names)
    }

    /// An AveragePool, which has no weight.
    fn average(&self, graph: &mut Graph, id: NodeId, names: &mut Names) -> Option<()> {
        if !graph.node(id).is("AveragePool") {
            return None;
        }
        let x: QuantizedValue = quantized_value(graph, graph.operand(id, 0)?)?;
        let label = graph.node(id).label().to_owned();
        graph.set_operand(id, 0, Some(x.bytes));
        name_quant(graph, x.bytes, &label, names);
        self.dequantize(graph, id, &label, &[x.scale], names)
    }

    /// Puts an AscendDequant after a node; the result keeps its name.
    fn dequantize(
        &self,
        graph: &mut Graph,
        id: NodeId,
        label: &str,
        scales: &[f32],
        names: &mut Names,
    ) -> Option<()> {
        let packed: Vec<u64> = scales.iter().map(|&scale| self.packed(scale)).collect();
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

    /// The scale's bits in the lower half; shift and offset above them are 0.
    fn packed(&self, scale: f32) -> u64 {
        u64::from(if self.short_scales { scale.to_bits() & SHORT_SCALE } else { scale.to_bits() })
    }
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

/// Names the QuantizeLinear before a layer, unless it has a name from a layer already.
fn name_quant(graph: &mut Graph, bytes: ValueId, label: &str, names: &mut Names) {
    let node = graph.node_mut(bytes.node);
    if node.is("QuantizeLinear") && !node.name.ends_with(".quant") {
        node.name = names.fresh(&format!("{label}.quant"));
    }
}

/// Replaces a QuantizeLinear by an AscendQuant.
fn quant(graph: &mut Graph, id: NodeId) -> Result<bool> {
    if !graph.node(id).is("QuantizeLinear") {
        return Ok(false);
    }
    let params = QdqParams::of(graph, id);
    let per_tensor = params.as_ref().and_then(QdqParams::per_tensor);
    let (Some(params), Some((scale, offset))) = (params, per_tensor) else {
        let message = "an AscendQuant has one constant scale for all; quantize per tensor";
        return Err(Error::unsupported(message).at(graph.node(id).label()));
    };
    let dst_type = match params.dtype {
        DType::I8 => "INT8",
        DType::I16 => "INT16",
        other => {
            let message = format!("an AscendQuant returns i8 or i16, not {other}; use signed activations");
            return Err(Error::unsupported(message).at(graph.node(id).label()));
        }
    };
    let op = Op::new("AscendQuant")
        .with("scale", Attr::Float(1.0 / scale))
        .with("offset", Attr::Float(offset as f32))
        .with("dst_type", Attr::Str(dst_type.as_bytes().to_vec()));
    let input = graph.operand(id, 0);
    let (name, result) = (graph.node(id).name.clone(), graph.node(id).outputs[0].clone());
    let node = graph.add(Node::op(&name, op, [result]), &[input]);
    graph.replace_uses(id.into(), node.into());
    detach(graph, id);
    graph.node_mut(id).outputs[0].name = String::new();
    Ok(true)
}

/// Replaces the DequantizeLinear of a quantized value by an AscendAntiQuant. Integer constants are dequantized elsewhere.
fn anti_quant(graph: &mut Graph, id: NodeId, names: &mut Names) -> Result<bool> {
    if !graph.node(id).is("DequantizeLinear") {
        return Ok(false);
    }
    let Some(params) = QdqParams::of(graph, id) else {
        let message = "can't be written in this deploy format: its scales are computed, or in blocks; use another deploy format";
        return Err(Error::unsupported(message).at(graph.node(id).label()));
    };
    let Some((scale, offset)) = params.per_tensor().filter(|_| stored_constant(graph, id.into()).is_none())
    else {
        return Ok(false);
    };
    let op = Op::new("AscendAntiQuant")
        .with("scale", Attr::Float(scale))
        .with("offset", Attr::Float(offset as f32))
        .with("dst_type", Attr::Str(b"INT8".to_vec()));
    let input = graph.operand(id, 0);
    let (label, result) = (graph.node(id).label().to_owned(), graph.node(id).outputs[0].clone());
    let name = names.fresh(&format!("{label}.anti_quant"));
    let node = graph.add(Node::op(&name, op, [result]), &[input]);
    graph.replace_uses(id.into(), node.into());
    detach(graph, id);
    graph.node_mut(id).outputs[0].name = String::new();
    Ok(true)
}
