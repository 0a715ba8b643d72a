//! Smoothing (SmoothQuant, AMCT's DMQ): the choice of the layers that benefit, by their error on rows of their inputs.
//!
//! The factors come from the observation, and a pass of [`intact8_quant`] applies them; this stage only chooses.

use crate::calibrated::SmoothingFactors;
use crate::data::Batches;
use crate::float_model::FloatModel;
use crate::rounding::rounded_up;
use crate::row_error::relative_error;
use crate::sample::{LayerSamples, RowSample, SampledLayer};
use intact8_ir::{Model, Pass, Result, ValueRef};
use intact8_quant::passes::{Smooth, smoothed_for_free};
use intact8_quant::{Calibration, LayerRecord, QuantConfig, Record};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// The migration strength of layers for which the configuration sets none.
const DEFAULT_STRENGTH: f64 = 0.7;

/// The largest error with smoothing, relative to that without, with which a layer is smoothed: the division may cost a
/// multiplication at run time.
const MAX_ERROR_RATIO: f64 = 0.7;

/// The number of rows in one step.
const ROWS_PER_STEP: usize = 64;

/// The configuration with the default strength for every layer that can be smoothed and has no strength of its own. Unless
/// `balance_nodes` is set, that is only the layers for which smoothing costs nothing at run time.
pub(crate) fn with_default_strengths(config: &QuantConfig, model: &Model) -> QuantConfig {
    let mut smoothed = config.clone();
    let for_free = smoothed_for_free(model);
    for (layer, _) in config.enabled(model).iter().filter(|(layer, _)| layer.can_learn_rounding()) {
        if !config.balance_nodes && !for_free.contains(&layer.name) {
            continue;
        }
        if let Some(layer_config) = smoothed.layers.get_mut(&layer.name) {
            layer_config.dmq_balancer_param.get_or_insert(DEFAULT_STRENGTH);
        }
    }
    smoothed
}

/// The factors of the layers that benefit, and of those for which the configuration requires smoothing; layers with the same
/// input activation are smoothed together or not at all.
pub(crate) fn beneficial(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    mut factors: SmoothingFactors,
    samples: &LayerSamples,
    batches: &mut Batches<'_>,
) -> Result<SmoothingFactors> {
    let model = float.model();
    let is_required = |name: &String| config.layers[name].dmq_balancer_param.is_some();
    let mut layers_by_input: BTreeMap<ValueRef, Vec<String>> = BTreeMap::new();
    for (_, layer, _) in float.prepared().enabled(config) {
        if factors.0.contains_key(&layer.name) {
            layers_by_input.entry(layer.inputs(model)[0]).or_default().push(layer.name.clone());
        }
    }
    let optional: Vec<Vec<String>> =
        layers_by_input.into_values().filter(|layers| !layers.iter().any(is_required)).collect();
    if optional.is_empty() {
        return Ok(factors);
    }
    let names: BTreeSet<&str> = optional.iter().flatten().map(String::as_str).collect();
    let plain = restricted(config, |name| names.contains(name));
    let mut smoothed = model.clone();
    Smooth { config: &plain, record: &factors.record() }.run(&mut smoothed)?;
    let mut errors: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    samples.for_each_chunk(float.executor(), batches, |chunk, rows| {
        let chunk: Vec<(&SampledLayer, &RowSample)> = chunk
            .iter()
            .zip(rows)
            // A layer in a branch that is never taken has no rows.
            .filter(|(sampled, rows)| plain.layers[&sampled.layer.name].quant_enable && rows.n_rows() > 0)
            .collect();
        let in_chunk: BTreeSet<&str> = chunk.iter().map(|(sampled, _)| sampled.layer.name.as_str()).collect();
        let config = restricted(&plain, |name| in_chunk.contains(name));
        let as_is = relative_errors(model, &config, &chunk, &SmoothingFactors::default())?;
        let if_smoothed = relative_errors(&smoothed, &config, &chunk, &factors)?;
        for ((sampled, _), pair) in chunk.iter().zip(as_is.into_iter().zip(if_smoothed)) {
            errors.insert(sampled.layer.name.clone(), pair.into());
        }
        Ok(())
    })?;
    for layers in optional {
        let errors = || layers.iter().filter_map(|name| errors.get(name));
        let [as_is, if_smoothed] = [0, 1].map(|which| errors().map(|error| error[which]).sum::<f64>());
        if if_smoothed >= MAX_ERROR_RATIO * as_is {
            layers.iter().for_each(|name| drop(factors.0.remove(name)));
        }
    }
    Ok(factors)
}

/// The configuration with only some of its layers enabled, and without quantization of single inputs.
pub(crate) fn restricted(config: &QuantConfig, is_kept: impl Fn(&str) -> bool) -> QuantConfig {
    let mut config = QuantConfig { tensor_quantize: vec![], ..config.clone() };
    for (name, layer) in &mut config.layers {
        layer.quant_enable &= is_kept(name);
    }
    config
}

/// The relative errors of layers with ranges found from the rows. The weights of the model must be smoothed if there are factors.
fn relative_errors(
    model: &Model,
    config: &QuantConfig,
    layers: &[(&SampledLayer, &RowSample)],
    factors: &SmoothingFactors,
) -> Result<Vec<f64>> {
    let mut calibration = Calibration::new(model, config)?;
    let mut seen = BTreeSet::new();
    let distinct_inputs: Vec<_> =
        layers.iter().rev().filter(|(sampled, _)| seen.insert(sampled.input)).collect();
    // The tensors are copies, so only as many are made at once as keep all threads busy.
    for chunk in distinct_inputs.chunks(2 * rayon::current_num_threads()) {
        let n_rows = chunk.iter().map(|(_, rows)| rows.n_rows()).max().unwrap_or(0);
        for start in (0..n_rows).step_by(ROWS_PER_STEP) {
            let read = |(sampled, rows): &&(&SampledLayer, &RowSample)| {
                let range = start..(start + ROWS_PER_STEP).min(rows.n_rows());
                let factors = factors.of_layer(&sampled.layer.name);
                let tensor = (!range.is_empty()).then(|| sampled.layout.as_tensor(rows, range, factors))?;
                Some((sampled.layer.inputs(model)[0], tensor))
            };
            calibration.observe_all(&chunk.par_iter().filter_map(read).collect())?;
        }
    }
    let record: Record = calibration.finish()?;
    drop(calibration);
    let error = |(sampled, rows): &(&SampledLayer, &RowSample)| {
        let name = &sampled.layer.name;
        let smoothing = factors.of_layer(name).to_vec();
        let mut entry = LayerRecord { smoothing, ..record.layer(name)?.clone() };
        // Learned rounding would take too long here.
        if !sampled.is_learned() {
            entry.rounded_up = rounded_up(model, config, sampled, rows, &entry)?;
        }
        relative_error(model, sampled, rows, &entry, config.correct_bias)
    };
    layers.par_iter().map(error).collect()
}
