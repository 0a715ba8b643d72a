//! Smoothing (SmoothQuant, AMCT's DMQ): the choice of the layers that benefit, by their error on rows of their inputs.
//!
//! The factors come from the observation, and a pass of [`intact8_quant`] applies them; this stage only chooses.

use crate::calibrated::SmoothingFactors;
use crate::float_model::FloatModel;
use crate::memory::{Bytes, MemoryLimit};
use crate::passes::{Halt, Passes};
use crate::row_error::{self, relative_error};
use crate::sample::{LayerSamples, RowSample, SampledLayer};
use intact8_ir::{Model, Pass, Result};
use intact8_quant::passes::{Smooth, smoothed_for_free};
use intact8_quant::rounding::SharedWeights;
use intact8_quant::{Calibration, Layer, LayerRecord, QuantConfig, Record};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// The migration strength of layers for which the configuration sets none.
const DEFAULT_STRENGTH: f64 = 0.7;

/// The largest error with smoothing, relative to that without, with which a layer is smoothed: the division may cost a
/// multiplication at run time.
const MAX_ERROR_RATIO: f64 = 0.75;

/// The largest number of rows of a layer that are compared: enough to tell errors apart that differ by that ratio.
const COMPARED_ROWS: usize = 512;

/// The number of rows in one step.
const ROWS_PER_STEP: usize = 64;

/// The configuration with the default strength for every layer that can be smoothed and has no strength of its own. Unless
/// `balance_nodes` is set, that is only the layers for which smoothing costs nothing at run time. Layers with the same input or
/// the same weight are smoothed together or not at all, and not with a table that a Gather looks rows up in.
pub(crate) fn with_default_strengths(config: &QuantConfig, model: &Model) -> QuantConfig {
    let mut smoothed = config.clone();
    let for_free = smoothed_for_free(model, config);
    let enabled = config.enabled(model).into_iter().map(|(layer, _)| layer);
    let linear: Vec<Layer> = enabled.filter(Layer::can_learn_rounding).collect();
    let shared = SharedWeights::of(model, config);
    let clusters = shared.clusters(linear.iter().map(|layer| (layer.name.as_str(), layer.inputs(model)[0])));
    let is_free = |layer: &Layer| config.balance_nodes || for_free.contains(&layer.name);
    let can_be = |layer: &Layer| is_free(layer) && !shared.is_looked_up(&layer.name);
    let unfit = linear.iter().zip(&clusters).filter(|(layer, _)| !can_be(layer));
    let unfit: BTreeSet<usize> = unfit.map(|(_, cluster)| *cluster).collect();
    for (layer, _) in linear.iter().zip(&clusters).filter(|(_, cluster)| !unfit.contains(cluster)) {
        if let Some(layer_config) = smoothed.layers.get_mut(&layer.name) {
            layer_config.dmq_balancer_param.get_or_insert(DEFAULT_STRENGTH);
        }
    }
    smoothed
}

/// The factors of the layers that benefit, and of those for which the configuration requires smoothing; layers with the same
/// input activation or the same weight are smoothed together or not at all.
pub(crate) fn beneficial(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    mut factors: SmoothingFactors,
    samples: &LayerSamples,
    passes: &mut Passes<'_, '_>,
) -> Result<SmoothingFactors, Halt> {
    if let Some(chosen) = &passes.states.smoothed {
        factors.0.retain(|name, _| chosen.contains(name));
        return Ok(factors);
    }
    let model = float.model();
    let is_required = |name: &String| config.layers[name].dmq_balancer_param.is_some();
    let enabled = float.prepared().enabled(config).into_iter().map(|(_, layer, _)| layer);
    let with_factors: Vec<&Layer> = enabled.filter(|layer| factors.0.contains_key(&layer.name)).collect();
    let names = with_factors.iter().map(|layer| (layer.name.as_str(), layer.inputs(model)[0]));
    let numbers = SharedWeights::of(model, config).clusters(names);
    let mut clusters: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (layer, number) in with_factors.iter().zip(numbers) {
        clusters.entry(number).or_default().push(layer.name.clone());
    }
    let optional: Vec<Vec<String>> =
        clusters.into_values().filter(|layers| !layers.iter().any(is_required)).collect();
    if optional.is_empty() {
        return Ok(factors);
    }
    passes.check_choice()?;
    let names: BTreeSet<&str> = optional.iter().flatten().map(String::as_str).collect();
    let plain = restricted(config, |name| names.contains(name));
    let mut smoothed = model.clone();
    Smooth { config: &plain, record: &factors.record() }.run(&mut smoothed)?;
    let (memory, mut errors) = (float.memory(), BTreeMap::<String, [f64; 2]>::new());
    let mut left_out: Vec<(String, String)> = Vec::new();
    samples.for_each_chunk(float, passes.batches, |chunk, rows| {
        let rows: Vec<RowSample> = rows.iter().map(|rows| rows.at_most(COMPARED_ROWS)).collect();
        let chunk: Vec<(&SampledLayer, &RowSample)> = chunk
            .iter()
            .zip(&rows)
            // A layer in a branch that is never taken has no rows.
            .filter(|(sampled, rows)| plain.layers[&sampled.layer.name].quant_enable && rows.n_rows() > 0)
            .collect();
        let (chunk, too_large): (Vec<_>, Vec<_>) =
            chunk.into_iter().partition(|(sampled, rows)| memory.allows(bytes(sampled, rows)));
        for (sampled, rows) in too_large {
            let why = memory.refuses(bytes(sampled, rows), "it is not smoothed");
            left_out.push((sampled.layer.name.clone(), why));
        }
        let in_chunk: BTreeSet<&str> = chunk.iter().map(|(sampled, _)| sampled.layer.name.as_str()).collect();
        let config = restricted(&plain, |name| in_chunk.contains(name));
        let as_is = relative_errors(model, &config, &chunk, &SmoothingFactors::default(), memory)?;
        let if_smoothed = relative_errors(&smoothed, &config, &chunk, &factors, memory)?;
        for ((sampled, _), pair) in chunk.iter().zip(as_is.into_iter().zip(if_smoothed)) {
            errors.insert(sampled.layer.name.clone(), pair.into());
        }
        Ok(())
    })?;
    left_out.iter().for_each(|(name, why)| passes.batches.observer.left_out(name, why));
    for layers in optional {
        // A layer without an error has no rows, or did not fit into memory; smoothing it alone would be a guess.
        let errors: Option<Vec<&[f64; 2]>> = layers.iter().map(|name| errors.get(name)).collect();
        let is_beneficial = errors.is_some_and(|errors| {
            let [as_is, if_smoothed] =
                [0, 1].map(|which| errors.iter().map(|error| error[which]).sum::<f64>());
            if_smoothed < MAX_ERROR_RATIO * as_is
        });
        if !is_beneficial {
            layers.iter().for_each(|name| drop(factors.0.remove(name)));
        }
    }
    if passes.keeps {
        passes.states.smoothed = Some(factors.0.keys().cloned().collect());
    }
    Ok(factors)
}

/// The configuration with only some of its layers enabled, and without quantization of single inputs.
pub(crate) fn restricted(config: &QuantConfig, is_kept: impl Fn(&str) -> bool) -> QuantConfig {
    let mut config = QuantConfig { tensor_quantize: vec![], ..config.clone() };
    for (name, layer) in &mut config.layers {
        layer.quant_enable &= is_kept(name);
        layer.quantize_output = false;
    }
    config
}

/// The relative errors of layers with ranges found from the rows, and weights rounded to nearest: a better rounding takes several
/// times as long to find, and gains as much with smoothing as without. The weights of the model must be smoothed if there are factors.
fn relative_errors(
    model: &Model,
    config: &QuantConfig,
    layers: &[(&SampledLayer, &RowSample)],
    factors: &SmoothingFactors,
    memory: MemoryLimit,
) -> Result<Vec<f64>> {
    let mut calibration = Calibration::new(model, config)?;
    let mut seen = BTreeSet::new();
    // The input in this model: after smoothing, the layers of two branches with one input have a Mul each.
    let input = |sampled: &SampledLayer| sampled.layer.inputs(model)[0];
    let distinct_inputs: Vec<_> =
        layers.iter().rev().filter(|(sampled, _)| seen.insert(input(sampled))).collect();
    // The tensors are copies, so only as many are made at once as keep all threads busy.
    for chunk in distinct_inputs.chunks(2 * rayon::current_num_threads()) {
        let n_rows = chunk.iter().map(|(_, rows)| rows.n_rows()).max().unwrap_or(0);
        for start in (0..n_rows).step_by(ROWS_PER_STEP) {
            let read = |(sampled, rows): &&(&SampledLayer, &RowSample)| {
                let range = start..(start + ROWS_PER_STEP).min(rows.n_rows());
                let factors = factors.of_layer(&sampled.layer.name);
                let tensor = (!range.is_empty()).then(|| sampled.layout.as_tensor(rows, range, factors))?;
                Some((input(sampled), tensor))
            };
            calibration.observe_all(&chunk.par_iter().filter_map(read).collect())?;
        }
    }
    let record: Record = calibration.ranges()?;
    drop(calibration);
    let error = |(sampled, rows): &(&SampledLayer, &RowSample)| {
        let name = &sampled.layer.name;
        let smoothing = factors.of_layer(name).to_vec();
        let entry = LayerRecord { smoothing, ..record.layer(name)?.clone() };
        relative_error(model, sampled, rows, &entry, config.correct_bias)
    };
    memory.map(layers, |(sampled, rows)| bytes(sampled, rows), error)
}

/// The greatest number of bytes that the relative error of a layer takes.
fn bytes(sampled: &SampledLayer, rows: &RowSample) -> Bytes {
    let n_rows = rows.n_rows().min(ROWS_PER_STEP);
    // The tensor of a step with ranges, beside the error itself.
    Bytes(row_error::bytes(sampled, rows).0 + 4 * n_rows * sampled.layout.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate;
    use intact8_interp::Interpreter;
    use intact8_ir::Tensor;
    use intact8_quant::{Preparation, Prepared};

    /// Both layers may benefit, and each has an input of its own after smoothing.
    #[test]
    fn layers_of_two_branches_with_one_input_are_smoothed() {
        let branch = |name: &str, weight: &str| {
            format!(
                "{name} = graph {name} {{\n%{name}.x = capture\n%{name}.w = const [{weight}] : f32[2,2]\n\
                 %{name}.y = MatMul(%{name}.x, %{name}.w)\nreturn %{name}.y\n}}"
            )
        };
        let text = format!(
            "model m opset 17\n%x = input : f32[8,2]\n%zero = const [0.0] : f32[]\n%sum = ReduceSum(%x) {{keepdims = 0}}\n\
             %c = Greater(%sum, %zero)\n%y = If(%c; %x, %x) {{{}, {}}}\nreturn %y\n",
            branch("else_branch", "0.001, -0.002, 1.0, 0.5"),
            branch("then_branch", "0.002, 0.001, -0.5, 1.0")
        );
        let model: Model = text.parse().unwrap();
        // The second column is small relative to the first, and its weights are large.
        let batch = |sign: f32| {
            let value =
                |idx: usize| sign * if idx.is_multiple_of(2) { 100.0 } else { 0.01 } * (idx + 1) as f32;
            Tensor::new(&[8, 2], (0..16).map(value).collect())
        };
        let mut data = vec![vec![batch(1.0)], vec![batch(-1.0)]];
        let config = QuantConfig { batch_num: Some(2), ..QuantConfig::for_model(&model) };
        let prepared = Prepared::new(&model, &Preparation::default(), None, &mut ()).unwrap();
        let runtime = Interpreter::default();
        let float = FloatModel::new(&prepared, &runtime).unwrap();
        let calibrated = calibrate(&float, &config, &mut data, &mut ()).unwrap();
        assert_eq!(calibrated.smoothing.0.len(), 2, "{:?}", calibrated.smoothing);
    }
}
