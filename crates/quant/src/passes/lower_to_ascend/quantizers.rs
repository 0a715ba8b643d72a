//! AscendQuant and AscendAntiQuant: the steps from floats to integers and back around the layers.

use crate::names::Names;
use crate::new_nodes::{constant, type_with};
use crate::params::QuantParams;
use crate::qdq_params::{QdqParams, integer_tensor, stored_constant};
use crate::quantized_linear::QuantizedValue;
use crate::uses::{detach, has_one_use};
use intact8_ir::{Attr, DType, Error, Graph, Node, NodeId, Op, Result, Type, ValueId};

/// Names the QuantizeLinear before a layer, unless it has a name from a layer already.
pub(super) fn name_quant(graph: &mut Graph, bytes: ValueId, label: &str, names: &mut Names) {
    let node = graph.node_mut(bytes.node);
    if node.is("QuantizeLinear") && !node.name.ends_with(".quant") {
        node.name = names.fresh(&format!("{label}.quant"));
    }
}

/// Quantizes a value before the Pad that produces it, if nothing else uses it; the padded integers. Where the Pad adds a number,
/// it adds the number's integer.
pub(super) fn quantize_before_pad(
    graph: &mut Graph,
    x: &QuantizedValue,
    label: &str,
    names: &mut Names,
) -> Option<ValueId> {
    let quantize = x.bytes.node;
    let padded = graph.operand(quantize, 0).filter(|_| graph.node(quantize).is("QuantizeLinear"))?;
    let (pad, input) = (padded.node, graph.operand(padded.node, 0)?);
    let op = graph.node(pad).as_op().filter(|op| op.is("Pad") && has_one_use(graph, padded))?;
    if matches!(op.str("mode"), Ok(None | Some("constant"))) {
        let filler = match graph.operand(pad, 2) {
            Some(value) => *graph.constant(value)?.values::<f32>().ok()?.first()?,
            None => 0.0,
        };
        let integer = QuantParams::per_tensor(x.scale, x.offset, 8).quantize(filler, 0);
        let integer = integer_tensor(x.params.dtype, &[], &[integer])?;
        let integer = constant(graph, names, &format!("{label}.padding"), integer);
        graph.set_operand(pad, 2, Some(integer));
    }
    let types = [input, padded].map(|value| type_with(graph, value, x.params.dtype).map(Type::Tensor));
    graph.replace_uses(x.bytes, padded);
    graph.set_operand(pad, 0, Some(x.bytes));
    graph.set_operand(quantize, 0, Some(input));
    for (node, ty) in [quantize, pad].into_iter().zip(types) {
        graph.node_mut(node).outputs[0].ty = ty;
    }
    Some(padded)
}

/// The type of integers, as AMCT names it.
fn dst_type(params: &QdqParams) -> Option<&'static str> {
    match params.dtype {
        DType::I8 => Some("INT8"),
        DType::I16 => Some("INT16"),
        _ => None,
    }
}

/// Replaces a QuantizeLinear by an AscendQuant.
pub(super) fn quant(graph: &mut Graph, id: NodeId) -> Result<bool> {
    if !graph.node(id).is("QuantizeLinear") {
        return Ok(false);
    }
    let params = QdqParams::of(graph, id);
    let per_tensor = params.as_ref().and_then(QdqParams::per_tensor);
    let (Some(params), Some((scale, offset))) = (params, per_tensor) else {
        let message = "an AscendQuant has one constant scale for all; quantize per tensor";
        return Err(Error::unsupported(message).at(graph.node(id).label()));
    };
    let Some(dst_type) = dst_type(&params) else {
        let message =
            format!("an AscendQuant returns i8 or i16, not {}; use signed activations", params.dtype);
        return Err(Error::unsupported(message).at(graph.node(id).label()));
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
pub(super) fn anti_quant(graph: &mut Graph, id: NodeId, names: &mut Names) -> Result<bool> {
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
    let Some(dst_type) = dst_type(&params) else { return Ok(false) };
    let op = Op::new("AscendAntiQuant")
        .with("scale", Attr::Float(scale))
        .with("offset", Attr::Float(offset as f32))
        .with("dst_type", Attr::Str(dst_type.as_bytes().to_vec()));
    let input = graph.operand(id, 0);
    let (label, result) = (graph.node(id).label().to_owned(), graph.node(id).outputs[0].clone());
    let name = names.fresh(&format!("{label}.anti_quant"));
    let node = graph.add(Node::op(&name, op, [result]), &[input]);
    graph.replace_uses(id.into(), node.into());
    detach(graph, id);
    graph.node_mut(id).outputs[0].name = String::new();
    Ok(true)
}
