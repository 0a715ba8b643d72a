//! The choice of rounding up or down for each element of a layer's weight, from rows of the layer's inputs.
//!
//! The inputs are those of the float model, so the rounding of a layer does not depend on the choice of other quantized layers.
//! The algorithms are in [`intact8_quant`].

use crate::sample::{RowSample, SampledLayer};
use intact8_ir::{Graph, Model, Result, ValueId};
use intact8_quant::config::WeightMethod;
use intact8_quant::rounding::{ActivationFunction, Examples, InputRows, Rounding};
use intact8_quant::{LayerRecord, QuantConfig};

/// Whether each element of the weight is rounded up; empty if the weight is rounded to nearest. The weight of the model must be
/// smoothed if the entry has smoothing factors.
pub(crate) fn rounded_up(
    model: &Model,
    config: &QuantConfig,
    sampled: &SampledLayer,
    rows: &RowSample,
    entry: &LayerRecord,
) -> Result<Vec<bool>> {
    let SampledLayer { layer, layout, .. } = sampled;
    let ada = match &sampled.config.weight_quant_params.method {
        WeightMethod::AdaRound(ada) => Some(ada),
        _ if config.fit_rounding => None,
        _ => return Ok(Vec::new()),
    };
    let params = &entry.weights[0];
    let step = entry.activations.first().map_or(0.0, |params| params.scale[0]);
    let weight = sampled.output_major(layer.tensor(model, &layer.weights[0]).values::<f32>()?);
    let (depth, n_rows) = (layout.depth(), rows.n_rows());
    let per_group = weight.len() / depth / layout.groups();
    let activation = activation_after(model.graph(layer.graph), ValueId::from(layer.node));
    let mut rounded_up = Vec::with_capacity(weight.len());
    for group in 0..layout.groups() {
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
                let inputs = &layout.group_inputs(rows, 0..n_rows, group, &entry.smoothing);
                let outputs = &layout.outputs(rows, outputs);
                rounding.learn(&Examples { inputs, outputs, activation }, ada)
            }
            // The fit divides its statistics by the factors instead of the rows.
            None => {
                let rows_in = |range| layout.group_inputs(rows, range, group, &[]);
                let factors = layout.group_factors(group, &entry.smoothing);
                rounding.fit(InputRows { n_rows, rows: &rows_in }, &factors, step, config.correct_bias)
            }
        });
    }
    Ok(sampled.weight_order(rounded_up))
}

/// The activation function that is the only use of a value, if learned rounding supports it; otherwise the identity.
fn activation_after(graph: &Graph, value: ValueId) -> ActivationFunction {
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
        // Up to opset 10 the bounds are attributes. A bound that is not constant is unknown.
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
