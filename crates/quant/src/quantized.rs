//! Models that are quantized already: how they are recognized, and the record of their scales.

use crate::layer::QUANTIZABLE;
use crate::params::QuantParams;
use crate::qdq_params::{QdqParams, check_scales, integers, stored_constant};
use crate::quantized_linear::quantized_value;
use crate::record::{LayerRecord, Record};
use intact8_ir::{DType, Error, Graph, Model, NodeId, Op, Result, ValueId};

/// Checks that a model holds no operator of a quantized one.
pub fn check_is_float(model: &Model) -> Result<()> {
    refuse(model, |op| is_quantizer(op) || is_quantized(op), "pass its float original, or use convert-qat")
}

/// Checks that a model is quantized with QuantizeLinear and DequantizeLinear, and in no other way, and that these have as many
/// scales as their data need.
pub fn check_is_qdq(model: &Model) -> Result<()> {
    refuse(model, is_quantized, "only models with QuantizeLinear and DequantizeLinear can be converted")?;
    let mut has_quantizer = false;
    for (_, graph) in model.graphs() {
        for id in graph.node_ids().filter(|&id| graph.node(id).as_op().is_some_and(is_quantizer)) {
            check_scales(graph, id).map_err(|error| error.at(graph.node(id).label()))?;
            has_quantizer = true;
        }
    }
    if has_quantizer {
        return Ok(());
    }
    Err(Error::invalid_model("has no QuantizeLinear; quantize it, or convert it with a record"))
}

fn refuse(model: &Model, is_refused: impl Fn(&Op) -> bool, advice: &str) -> Result<()> {
    for (_, graph) in model.graphs() {
        for id in graph.topo() {
            let Some(op) = graph.node(id).as_op().filter(|op| is_refused(op)) else { continue };
            let message = format!("is a {}: the model is already quantized; {advice}", op.name);
            return Err(Error::invalid_model(message).at(graph.node(id).label()));
        }
    }
    Ok(())
}

fn is_quantizer(op: &Op) -> bool {
    ["QuantizeLinear", "DequantizeLinear"].contains(&op.name.as_str())
}

/// Whether an operator computes with integers, or is a fake-quant operator of some framework.
fn is_quantized(op: &Op) -> bool {
    let name = op.name.as_str();
    let of_onnx = ["ConvInteger", "DynamicQuantizeLinear", "MatMulInteger"].contains(&name)
        || name.starts_with("QLinear")
        || name.starts_with("Ascend")
        || name.contains("FakeQuant");
    let of_runtime = op.domain == "com.microsoft"
        && (name.starts_with('Q') && name != "QuickGelu" || name.contains("Integer"));
    of_onnx || of_runtime || op.domain == "amct.customop"
}

/// The record of a model with QuantizeLinear and DequantizeLinear: for each layer whose activations and weights are
/// dequantized, the scales and offsets in the signed domain. Layers need names.
///
/// Layers are as [`QUANTIZABLE`] lists them. An activation with a scale along a dimension, and a weight with an offset,
/// are left out because a record has no fields for them, and so is a weight in blocks.
pub fn record_of(model: &Model) -> Record {
    let mut record = Record::default();
    for (_, graph) in model.graphs() {
        for id in graph.topo() {
            let node = graph.node(id);
            let is_layer = node.as_op().is_some_and(|op| QUANTIZABLE.iter().any(|row| op.is(row.name)));
            if let Some(entry) = entry(graph, id).filter(|_| is_layer && !node.name.is_empty()) {
                record.layers.insert(node.name.clone(), entry);
            }
        }
    }
    record
}

fn entry(graph: &Graph, id: NodeId) -> Option<LayerRecord> {
    let mut entry = LayerRecord::default();
    // The operands after the first two are a bias or parameters.
    for &value in graph.operands(id).iter().take(2).flatten() {
        match weight(graph, value) {
            Some(weight) => entry.weights.push(weight?),
            None => {
                let coded = quantized_value(graph, value)?;
                entry.activations.push(QuantParams::per_tensor(
                    coded.scale,
                    signed(&coded.params, coded.offset),
                    8,
                ));
            }
        }
    }
    (!entry.activations.is_empty()).then_some(entry)
}

/// The parameters of a dequantized constant, if the value is one; `Some(None)` if a record can't hold them.
fn weight(graph: &Graph, value: ValueId) -> Option<Option<QuantParams>> {
    let params = QdqParams::of_dequantized(graph, value)?;
    let source = graph.operand(value.node, 0)?;
    // Integers, or floats that are quantized first.
    let is_stored = stored_constant(graph, value).is_some_and(|stored| integers(stored.integers).is_some());
    let is_float = QdqParams::of_quantize(graph, source.node).is_some()
        && graph.operand(source.node, 0).is_some_and(|value| graph.constant(value).is_some());
    if !is_stored && !is_float {
        return None;
    }
    let offset: Vec<i32> = params.offset.iter().map(|&offset| signed(&params, offset)).collect();
    let fits = params.is_byte() && offset.iter().all(|&offset| offset == 0);
    Some(fits.then_some(QuantParams { scale: params.scale, offset, bits: 8, block_size: None }))
}

fn signed(params: &QdqParams, offset: i32) -> i32 {
    if params.dtype == DType::U8 { offset - 128 } else { offset }
}
