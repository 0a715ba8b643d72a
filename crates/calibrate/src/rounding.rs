//! The choice of rounding up or down for each element of a weight, from rows of the inputs of the layers that share it.
//!
//! The inputs are those of the float model, so the rounding of a layer does not depend on the choice of other quantized layers.
//! The algorithms are in [`intact8_quant`].

use crate::memory::Bytes;
use crate::sample::{RowSample, SampledLayer};
use intact8_ir::{Graph, Model, Result, ValueId};
use intact8_quant::config::WeightMethod;
use intact8_quant::rounding::{
    ActivationFunction, Examples, InputRows, LayerInputs, Rounding, fit_bytes, learn_bytes,
};
use intact8_quant::{LayerRecord, QuantConfig};

/// A layer with rows of its inputs and its entry of the record.
#[derive(Clone, Copy)]
pub(crate) struct RoundedLayer<'a> {
    pub(crate) sampled: &'a SampledLayer,
    pub(crate) rows: &'a RowSample,
    pub(crate) entry: &'a LayerRecord,
}

/// For each of the layers that share a weight, whether each element of the weight is rounded up; empty if the weight is rounded
/// to nearest. The weight of the model must be smoothed if the entries have smoothing factors.
pub(crate) fn rounded_up(
    model: &Model,
    config: &QuantConfig,
    layers: &[RoundedLayer<'_>],
) -> Result<Vec<Vec<bool>>> {
    let first = layers[0];
    let SampledLayer { layer, layout, .. } = first.sampled;
    let ada = match &first.sampled.config.weight_quant_params.method {
        WeightMethod::AdaRound(ada) => Some(ada),
        _ if config.fit_rounding => None,
        _ => return Ok(vec![Vec::new(); layers.len()]),
    };
    let params = &first.entry.weights[0];
    let weight = first.sampled.output_major(layer.tensor(model, &layer.weights[0]).values::<f32>()?);
    let depth = layout.depth();
    let per_group = weight.len() / depth / layout.groups();
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
                let inputs = |it: &RoundedLayer<'_>| {
                    it.sampled.layout.group_inputs(it.rows, 0..it.rows.n_rows(), group, &it.entry.smoothing)
                };
                let expected = |it: &RoundedLayer<'_>| it.sampled.layout.outputs(it.rows, outputs.clone());
                let inputs = in_turn(layers.iter().map(inputs).collect(), depth);
                let outputs = in_turn(layers.iter().map(expected).collect(), per_group);
                let activation = activation_after_all(model, layers);
                rounding.learn(&Examples { inputs: &inputs, outputs: &outputs, activation }, ada)
            }
            // The fit divides its statistics by the factors instead of the rows.
            None => {
                let blocks: Vec<_> = layers
                    .iter()
                    .map(|it| {
                        move |rows, columns| it.sampled.layout.group_block(it.rows, rows, group, columns)
                    })
                    .collect();
                let inputs = layers.iter().zip(&blocks).map(|(it, block)| LayerInputs {
                    rows: InputRows { n_rows: it.rows.n_rows(), block },
                    step: it.entry.activations.first().map_or(0.0, |params| params.scale[0]),
                });
                let factors = layout.group_factors(group, &first.entry.smoothing);
                rounding.fit(&inputs.collect::<Vec<_>>(), &factors, config.correct_bias)
            }
        });
    }
    let (last, others) = layers.split_last().expect("there is a first layer");
    let mut all: Vec<Vec<bool>> =
        others.iter().map(|it| it.sampled.weight_order(rounded_up.clone())).collect();
    all.push(last.sampled.weight_order(rounded_up));
    Ok(all)
}

/// The greatest number of bytes that [`rounded_up`] allocates, its result included.
pub(crate) fn bytes(layers: &[RoundedLayer<'_>]) -> Bytes {
    let Some(first) = layers.first() else { return Bytes(0) };
    let layout = &first.sampled.layout;
    let (depth, n_out) = (layout.depth(), layout.n_outputs());
    let per_group = n_out / layout.groups();
    let n_rows = layers.iter().map(|it| it.rows.n_rows()).sum();
    let of_group = match first.sampled.is_learned() {
        // The rows of the layers one by one, and in turn.
        true => learn_bytes(per_group, depth, n_rows) + 8 * n_rows * (depth + per_group),
        false => fit_bytes(per_group, depth, n_rows),
    };
    // The weight with its rows in order, and the result in two orders for each layer.
    Bytes((4 + 1 + 2 * layers.len()) * n_out * depth + of_group)
}

/// Rows of several matrices, one of each in turn, as long as they have any.
fn in_turn(mut parts: Vec<Vec<f32>>, len: usize) -> Vec<f32> {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let n_rows = parts.iter().map(|part| part.len() / len.max(1)).max().unwrap_or(0);
    let rows =
        (0..n_rows).flat_map(|row| parts.iter().filter_map(move |part| part.get(row * len..(row + 1) * len)));
    rows.flatten().copied().collect()
}

/// The activation function that is the only use of each layer's output; the identity if they differ.
fn activation_after_all(model: &Model, layers: &[RoundedLayer<'_>]) -> ActivationFunction {
    let mut functions = layers.iter().map(|it| {
        let layer = &it.sampled.layer;
        activation_after(model.graph(layer.graph), ValueId::from(layer.node))
    });
    let first = functions.next().unwrap_or(ActivationFunction::Identity);
    if functions.all(|function| function == first) { first } else { ActivationFunction::Identity }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_in_turn() {
        let parts = vec![vec![1.0, 2.0, 3.0, 4.0], vec![5.0, 6.0], vec![7.0, 8.0, 9.0, 10.0]];
        assert_eq!(in_turn(parts, 2), [1.0, 2.0, 5.0, 6.0, 7.0, 8.0, 3.0, 4.0, 9.0, 10.0]);
    }
}
