//! Finding which way the weight of a layer is rounded, from what the layer reads.
//!
//! Layers stay independent of each other: how one is rounded does not depend on which others are quantized. It is fitted to
//! inputs that are not quantized.

use crate::sample::{Rows, Sampled};
use intact8_ir::{Graph, Model, Result, ValueId};
use intact8_quant::config::WeightMethod;
use intact8_quant::rounding::{ActivationFunction, Examples, InputRows, Rounding};
use intact8_quant::{LayerRecord, QuantConfig};

/// Whether each element of the weight is rounded up; nothing if it is rounded to nearest. The weight is balanced in the model
/// if the entry has factors.
pub(crate) fn rounded_up(
    model: &Model,
    config: &QuantConfig,
    sampled: &Sampled,
    rows: &Rows,
    entry: &LayerRecord,
) -> Result<Vec<bool>> {
    let Sampled { layer, reading, .. } = sampled;
    let ada = match &sampled.config.weight_quant_params.method {
        WeightMethod::AdaRound(ada) => Some(ada),
        _ if config.fit_rounding => None,
        _ => return Ok(Vec::new()),
    };
    let params = &entry.weights[0];
    let step = entry.activations.first().map_or(0.0, |params| params.scale[0]);
    let weight = sampled.by_output(layer.tensor(model, &layer.weights[0]).values::<f32>()?);
    let (depth, n_rows) = (reading.depth(), rows.n_rows());
    let per_group = weight.len() / depth / reading.groups();
    let activation = activation_behind(model.graph(layer.graph), ValueId::from(layer.node));
    let mut rounded_up = Vec::with_capacity(weight.len());
    for group in 0..reading.groups() {
        let outputs = group * per_group..(group + 1) * per_group;
        let scale: Vec<f32> =
            outputs.clone().map(|output| params.scale[output % params.scale.len()]).collect();
        let rounding = Rounding {
            weight: &weight[outputs.start * depth..outputs.end * depth],
            scale: &scale,
            bits: params.bits,
        };
        rounded_up.extend(match ada {
            Some(ada) => {
                let inputs = &reading.inputs_of(rows, 0..n_rows, group, &entry.smoothing);
                let outputs = &reading.outputs_of(rows, outputs);
                rounding.learn(&Examples { inputs, outputs, activation }, ada)
            }
            // It divides its results, not the rows.
            None => {
                let some = |range| reading.inputs_of(rows, range, group, &[]);
                let factors = reading.factors_of(group, &entry.smoothing);
                rounding.fit(InputRows { n_rows, rows: &some }, &factors, step, config.correct_bias)
            }
        });
    }
    Ok(sampled.in_order(rounded_up))
}

/// What follows a value, if nobody else reads it and it is an activation that learning knows.
fn activation_behind(graph: &Graph, value: ValueId) -> ActivationFunction {
    let users = graph.users(value);
    let [(node, 0)] = users[..] else { return ActivationFunction::Identity };
    if graph.outputs().contains(&value) {
        return ActivationFunction::Identity;
    }
    let Some(op) = graph.node(node).as_op() else { return ActivationFunction::Identity };
    let float = |name: &str, default: f32| op.float(name).ok().flatten().unwrap_or(default);
    if op.is("Relu") {
        ActivationFunction::Clip(0.0, f32::INFINITY)
    } else if op.is("LeakyRelu") {
        ActivationFunction::LeakyRelu(float("alpha", 0.01))
    } else if op.is("Clip") {
        // Up to opset 10 the bounds are attributes. One that is not constant is not known.
        let bound = |slot: usize, name: &str, default: f32| match graph.operand(node, slot) {
            None => Some(float(name, default)),
            Some(value) => graph.constant(value)?.values::<f32>().ok()?.first().copied(),
        };
        match (bound(1, "min", f32::NEG_INFINITY), bound(2, "max", f32::INFINITY)) {
            (Some(min), Some(max)) => ActivationFunction::Clip(min, max),
            _ => ActivationFunction::Identity,
        }
    } else {
        ActivationFunction::Identity
    }
}
