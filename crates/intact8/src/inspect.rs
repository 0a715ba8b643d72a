//! The layers of a model, and whether each can be quantized.

use crate::layer_plan::LayerPlan;
use crate::quantize::prepare;
use intact8_infer::infer;
use intact8_ir::{Model, Result, Tensor, ValueId, ValueRef};
use intact8_quant::calibration::{saturating_pairs, weight_params};
use intact8_quant::costs::{multiply_adds, sample_shapes};
use intact8_quant::layer::nodes;
use intact8_quant::{Layer, LayerConfig, Preparation};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The layers of a model after its default preparation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inspection {
    /// The layers, and the nodes that would be layers if they could be quantized.
    pub layers: Vec<InspectedLayer>,
    /// The number of nodes of each operator that is never a layer.
    pub others: BTreeMap<String, usize>,
    /// Where the model contradicts itself.
    pub contradictions: Vec<String>,
}

/// A layer of a model. Shapes are those of one sample, with 1 for other symbolic and unknown dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct InspectedLayer {
    /// Its name.
    pub name: String,
    /// Its operator.
    pub op: String,
    /// The shape of its first input, if it is known.
    pub input: Option<Vec<usize>>,
    /// The shape of its output, if it is known.
    pub output: Option<Vec<usize>>,
    /// The number of elements of its constants.
    pub parameters: usize,
    /// The multiply-accumulate operations for one sample, if they are known.
    pub multiply_adds: Option<usize>,
    /// The fraction of pairs of neighbouring weights, quantized by default, whose products can saturate on processors without VNNI.
    pub saturates: Option<f64>,
    /// Why it can't be quantized; `None` if it can.
    pub refusal: Option<String>,
}

impl Inspection {
    /// The inspection in JSON; a layer's `plan` is null without plans for a target.
    pub fn to_json(&self, plans: &BTreeMap<String, LayerPlan>) -> Value {
        let row = |layer: &InspectedLayer| {
            json!({
                "name": layer.name,
                "op": layer.op,
                "input": layer.input,
                "output": layer.output,
                "parameters": layer.parameters,
                "multiply_adds": layer.multiply_adds,
                "saturates": layer.saturates,
                "quantizable": layer.refusal.is_none(),
                "reason": layer.refusal,
                "plan": plans.get(&layer.name).map(|plan| {
                    json!({ "arithmetic": plan.arithmetic.name(), "reason": plan.reason })
                }),
            })
        };
        let layers: Vec<Value> = self.layers.iter().map(row).collect();
        json!({ "layers": layers, "others": self.others, "contradictions": self.contradictions })
    }
}

/// The layers of a model.
///
/// # Errors
/// If the model breaks a rule of ONNX.
pub fn inspect(model: &Model) -> Result<Inspection> {
    let inference = infer(&mut model.clone())?;
    let prepared = prepare(model, &Preparation::default(), &mut ())?;
    let model = prepared.model();
    let contradictions = inference.contradictions().map(ToString::to_string).collect();
    let mut found = Inspection { contradictions, ..Inspection::default() };
    let shapes = sample_shapes(model)?;
    for (graph_id, graph) in model.graphs() {
        for (id, layer) in nodes(model, graph_id) {
            let Some(op) = graph.node(id).as_op() else { continue };
            let Some(layer) = layer else {
                *found.others.entry(op.name.to_string()).or_default() += 1;
                continue;
            };
            let shape = |value: Option<ValueId>| {
                shapes.get(&ValueRef { graph: graph_id, value: value? }).map(|shape| shape.to_vec())
            };
            let constants = graph.operands(id).iter().flatten().filter_map(|&value| graph.constant(value));
            let usable = layer.as_ref().ok();
            found.layers.push(InspectedLayer {
                name: graph.node(id).name.clone(),
                op: op.name.to_string(),
                input: shape(graph.operand(id, 0)),
                output: shape(Some(id.into())),
                parameters: constants.map(Tensor::len).sum(),
                multiply_adds: usable.and_then(|layer| multiply_adds(model, layer, &shapes)),
                saturates: usable.and_then(|layer| saturates(model, layer)),
                refusal: layer.as_ref().err().map(ToString::to_string),
            });
        }
    }
    Ok(found)
}

/// The fraction of pairs of weights that can saturate; `None` if no pair can.
fn saturates(model: &Model, layer: &Layer) -> Option<f64> {
    let weight = layer.weights.first()?;
    let tensor = layer.tensor(model, weight);
    let params = weight_params(tensor, *weight, &LayerConfig::for_layer(layer).weight_quant_params).ok()?;
    let (n_risky, n_pairs) = saturating_pairs(tensor, weight, &params)?;
    (n_risky > 0).then(|| n_risky as f64 / n_pairs as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_has_its_shapes_and_costs_and_others_are_counted() {
        let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 2.0] : f32[2,1]\n\
                    %h = MatMul(%x, %w) @fc\n%y = Sin(%h)\nreturn %y\n";
        let found = inspect(&text.parse().unwrap()).unwrap();
        let [fc] = &found.layers[..] else { panic!("{found:?}") };
        assert_eq!((&*fc.name, &*fc.op, fc.parameters, fc.multiply_adds), ("fc", "MatMul", 2, Some(2)));
        assert_eq!((fc.input.clone(), fc.output.clone()), (Some(vec![1, 2]), Some(vec![1, 1])));
        assert_eq!((fc.refusal.clone(), found.others), (None, [("Sin".to_owned(), 1)].into()));
    }
}
