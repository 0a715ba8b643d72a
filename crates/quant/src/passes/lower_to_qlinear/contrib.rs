//! Operators of ONNX Runtime's own, in the domain `com.microsoft`.

use super::{put, quantized_operands, weight_operands};
use crate::names::Names;
use crate::new_nodes::{constant, qdq_constants};
use crate::qdq_params::QdqParams;
use crate::quantized_linear::{QuantizedLinear, has_kernel, quantized_value};
use intact8_ir::{Attr, Graph, NodeId, Op, Tensor, ValueId};

/// Lowers a node whose result is quantized with these parameters, if there is an operator for it.
pub(super) fn lower(
    graph: &mut Graph,
    id: NodeId,
    result: Option<&QdqParams>,
    opset: i64,
    names: &mut Names,
) -> Option<()> {
    let result = result?;
    let op = graph.node(id).as_op().filter(|op| op.domain.is_empty())?.clone();
    let label = graph.node(id).label().to_owned();
    let attrs = |kept: &[&str]| {
        let attrs = op.attrs.iter().filter(|(name, _)| kept.contains(&name.as_str()));
        attrs.map(|(name, attr)| (name.clone(), attr.clone())).collect()
    };
    let of = |name: &str, kept: &[&str]| Op {
        domain: "com.microsoft".to_owned(),
        name: name.to_owned(),
        attrs: attrs(kept),
        ..Op::default()
    };
    let lowered = match op.name.as_str() {
        "Gemm" => return gemm(graph, id, of("QGemm", &[]), result, &label, names),
        "Concat" => return concat(graph, id, of("QLinearConcat", &["axis"]), result, &label, names),
        "Add" => (of("QLinearAdd", &[]), 2),
        "Mul" => (of("QLinearMul", &[]), 2),
        "Sigmoid" => (of("QLinearSigmoid", &[]), 1),
        "LeakyRelu" => (of("QLinearLeakyRelu", &["alpha"]), 1),
        "GlobalAveragePool" => (of("QLinearGlobalAveragePool", &[]).with("channels_last", Attr::Int(0)), 1),
        "AveragePool"
            if op.int("ceil_mode").ok()?.unwrap_or(0) == 0 && !op.attrs.contains_key("dilations") =>
        {
            let kept = ["auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"];
            (of("QLinearAveragePool", &kept).with("channels_last", Attr::Int(0)), 1)
        }
        "Softmax" => (of("QLinearSoftmax", &["axis"]).with("opset", Attr::Int(opset)), 1),
        _ => return None,
    };
    let (lowered, n_inputs) = lowered;
    let inputs: Option<Vec<_>> =
        (0..n_inputs).map(|slot| quantized_value(graph, graph.operand(id, slot)?)).collect();
    let inputs = inputs?;
    if inputs.iter().any(|input| input.params.dtype != result.dtype) {
        return None;
    }
    let mut operands: Vec<ValueId> = Vec::new();
    for (slot, input) in inputs.iter().enumerate() {
        let suffix = if slot == 0 { "x".to_owned() } else { format!("x{slot}") };
        operands.extend(quantized_operands(graph, names, &format!("{label}.{suffix}"), input)?);
    }
    operands.extend(qdq_constants(graph, names, &format!("{label}.y"), result)?);
    put(graph, id, lowered, operands);
    Some(())
}

fn gemm(
    graph: &mut Graph,
    id: NodeId,
    op: Op,
    result: &QdqParams,
    label: &str,
    names: &mut Names,
) -> Option<()> {
    let product = QuantizedLinear::at(graph, id).filter(|it| has_kernel(&it.x, it.weight.dtype()))?;
    let mut operands: Vec<Option<ValueId>> =
        quantized_operands(graph, names, &format!("{label}.x"), &product.x)?.into_iter().map(Some).collect();
    operands.extend(weight_operands(graph, names, label, &product)?.into_iter().map(Some));
    let bias = product.bias.map(|bias| Tensor::new(&[bias.len()], bias));
    operands.push(bias.map(|bias| constant(graph, names, &format!("{label}.b"), bias)));
    operands.extend(qdq_constants(graph, names, &format!("{label}.y"), result)?.map(Some));
    super::put_slots(graph, id, op, &operands);
    Some(())
}

fn concat(
    graph: &mut Graph,
    id: NodeId,
    op: Op,
    result: &QdqParams,
    label: &str,
    names: &mut Names,
) -> Option<()> {
    let n_inputs = graph.operands(id).len();
    let inputs: Option<Vec<_>> =
        (0..n_inputs).map(|slot| quantized_value(graph, graph.operand(id, slot)?)).collect();
    let inputs = inputs?;
    if inputs.iter().any(|input| input.params.dtype != result.dtype) {
        return None;
    }
    let mut operands = qdq_constants(graph, names, &format!("{label}.y"), result)?.to_vec();
    for (slot, input) in inputs.iter().enumerate() {
        operands.extend(quantized_operands(graph, names, &format!("{label}.x{slot}"), input)?);
    }
    put(graph, id, op, operands);
    Some(())
}
