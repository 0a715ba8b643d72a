//! Calibration as a whole: the stages in their order. Each stage is in a file of its own.

use crate::calibrated::{Calibrated, Ranges, Roundings, SmoothingFactors};
use crate::data::{Batches, CalibrationData};
use crate::float_model::FloatModel;
use crate::observation::ObservedRanges;
use crate::observer::{CalibrationObserver, CalibrationStage};
use crate::parts::{Part, run_parts};
use crate::passes::{Halt, Passes, Proceeded, Share};
use crate::rounding::RoundedLayer;
use crate::sample::LayerSamples;
use crate::states::{CalibrationPass, CalibrationStates};
use crate::{bias_correction, clipping, observation, rounding, smoothing};
use intact8_ir::{BatchPart, Executor, Model, Pass, Result, Tensor, ValueRef};
use intact8_quant::QuantConfig;
use intact8_quant::passes::Smooth;
use intact8_quant::rounding::SharedWeights;
use std::collections::BTreeMap;

/// Finds the quantization parameters of all layers that a configuration enables, from the first
/// [`batch_num`](QuantConfig::batch_num) batches of the data.
///
/// The parameters of a layer do not depend on the choice of other quantized layers, except that layers with the same input
/// activation are smoothed together, and its range is clipped by the error that all of them make.
///
/// # Errors
/// If there are fewer batches, if no data but zeros reach a layer of which not only the weights are quantized (see
/// [`unreached_layers`](crate::unreached_layers)), if the data contain NaN, if data source or runtime fail, or
/// if the configuration does not fit the model.
pub fn calibrate(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    data: &mut dyn CalibrationData,
    observer: &mut dyn CalibrationObserver,
) -> Result<Calibrated> {
    let mut batches = Batches::of(data, config.batch_num, observer)?;
    let mut passes = Passes {
        batches: &mut batches,
        states: &mut CalibrationStates::default(),
        share: Share::Whole,
        keeps: false,
        n_done: 0,
    };
    match run(float, config, &mut passes) {
        Ok(calibrated) => Ok(calibrated),
        Err(Halt::Failed(error)) => Err(error),
        Err(Halt::Proceeded(_)) => unreachable!("a whole calibration makes all passes and choices"),
    }
}

/// Goes on with a calibration: does the share of work that is next, given the states of the passes made so far, and stores the
/// states and choices that it makes in full. The calibration that results does not depend on how the passes were shared: it is
/// that of [`calibrate()`], bit for bit.
///
/// # Errors
/// As [`calibrate()`]; if the states are not those of this model, configuration and data.
pub fn proceed(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    data: &mut dyn CalibrationData,
    observer: &mut dyn CalibrationObserver,
    (states, share): (&mut CalibrationStates, Share),
) -> Result<Proceeded> {
    let mut batches = Batches::of(data, config.batch_num, observer)?;
    let mut passes = Passes { batches: &mut batches, states, share, keeps: true, n_done: 0 };
    match run(float, config, &mut passes) {
        Ok(calibrated) => {
            passes.check_end()?;
            Ok(Proceeded::Complete(Box::new(calibrated)))
        }
        Err(Halt::Failed(error)) => Err(error),
        Err(Halt::Proceeded(proceeded)) => Ok(proceeded),
    }
}

/// The stages in their order, as far as the passes go.
fn run(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    passes: &mut Passes<'_, '_>,
) -> Result<Calibrated, Halt> {
    passes.batches.observer.stage(CalibrationStage::Observation);
    let observed = observation::observe(float, config, passes)?;
    let mut calibrated = Calibrated {
        ranges: Ranges::of(observed.ranges),
        histograms: observed.histograms,
        ..Calibrated::default()
    };
    if !observed.factors.0.is_empty() {
        passes.batches.observer.stage(CalibrationStage::Smoothing);
    }
    let factors = smoothing::beneficial(float, config, observed.factors, &observed.samples, passes)?;
    let is_smoothed = |name: &str| factors.0.contains_key(name);
    let candidates = observed.candidates.into_iter();
    let candidates: Vec<_> =
        candidates.filter(|candidate| !candidate.users.iter().any(|(user, _)| is_smoothed(user))).collect();
    if !candidates.is_empty() {
        passes.batches.observer.stage(CalibrationStage::Clipping);
    }
    let network =
        clipping::Network { model: float.model(), executor: float.executor(), runtime: float.runtime() };
    let clipping = (CalibrationPass::Clipping, &mut *passes);
    clipping::clip(&network, config, &mut calibrated.ranges, &candidates, clipping)?;
    let smoothed = match factors.0.is_empty() {
        true => None,
        false => Some(smooth(float, config, &factors, &mut calibrated, passes)?),
    };
    calibrated.smoothing = factors;
    let smoothed = smoothed.as_ref().unwrap_or(float.model());
    if !observed.samples.is_empty() {
        calibrated.roundings = match &passes.states.roundings {
            Some(chosen) => chosen.clone(),
            None => {
                passes.check_choice()?;
                passes.batches.observer.stage(CalibrationStage::Rounding);
                let samples = (smoothed, &observed.samples);
                let chosen = round(float, config, samples, &calibrated, passes.batches)?;
                if passes.keeps {
                    passes.states.roundings = Some(chosen.clone());
                }
                chosen
            }
        };
    }
    if config.correct_bias {
        passes.batches.observer.stage(CalibrationStage::BiasCorrection);
        calibrated.bias_shifts =
            bias_correction::mean_errors(float, smoothed, config, &calibrated.record(), passes)?;
    }
    Ok(calibrated)
}

/// Observes the smoothed layers again in the smoothed model, replaces their ranges and distributions, and returns that model.
fn smooth(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    factors: &SmoothingFactors,
    calibrated: &mut Calibrated,
    passes: &mut Passes<'_, '_>,
) -> Result<Model, Halt> {
    let config = smoothing::restricted(config, |name| factors.0.contains_key(name));
    let mut smoothed = float.model().clone();
    Smooth { config: &config, record: &factors.record() }.run(&mut smoothed)?;
    let ObservedRanges { ranges, candidates, histograms } =
        observation::smoothed_ranges((&smoothed, float.runtime()), &config, passes)?;
    let mut found = Ranges::of(ranges);
    if !candidates.is_empty() {
        let executor = float.runtime().compile(&smoothed)?;
        let network = clipping::Network { model: &smoothed, executor: &*executor, runtime: float.runtime() };
        let clipping = (CalibrationPass::SmoothedClipping, passes);
        clipping::clip(&network, &config, &mut found, &candidates, clipping)?;
    }
    calibrated.ranges.0.extend(found.0);
    calibrated.histograms.extend(histograms);
    Ok(smoothed)
}

/// Chooses the rounding of the weights of sampled layers, as they are in the smoothed model; that of a weight which layers share
/// once for all of them.
fn round(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    (smoothed, samples): (&Model, &LayerSamples),
    calibrated: &Calibrated,
    batches: &mut Batches<'_>,
) -> Result<Roundings> {
    let (record, memory) = (calibrated.record(), float.memory());
    let shared = SharedWeights::of(smoothed, config);
    let (mut roundings, mut left_out) = (Roundings::default(), Vec::new());
    samples.for_each_chunk(float, batches, |chunk, rows| {
        let mut weights: BTreeMap<usize, Vec<RoundedLayer<'_>>> = BTreeMap::new();
        for (sampled, rows) in chunk.iter().zip(rows) {
            let name = &sampled.layer.name;
            let Some(number) = shared.number(name).filter(|_| !shared.is_looked_up(name)) else { continue };
            let entry = record.layer(name)?;
            weights.entry(number).or_default().push(RoundedLayer { sampled, rows, entry });
        }
        let weights: Vec<Vec<RoundedLayer<'_>>> = weights.into_values().collect();
        let (weights, too_large): (Vec<_>, Vec<_>) =
            weights.into_iter().partition(|layers| memory.allows(rounding::bytes(layers)));
        for layers in too_large {
            let why = memory.refuses(rounding::bytes(&layers), "its weight is rounded to nearest");
            left_out.extend(layers.iter().map(|it| (it.sampled.layer.name.clone(), why.clone())));
        }
        let round_weight = |layers: &Vec<RoundedLayer<'_>>| {
            let names = layers.iter().map(|it| it.sampled.layer.name.clone());
            let rounded_up = rounding::rounded_up(smoothed, config, layers);
            let rounded_up = rounded_up.map_err(|error| error.at(&layers[0].sampled.layer.name))?;
            Ok(names.zip(rounded_up).collect::<Vec<_>>())
        };
        let rounded = memory.map(&weights, |layers| rounding::bytes(layers), round_weight)?;
        roundings.0.extend(rounded.into_iter().flatten());
        Ok(())
    })?;
    left_out.iter().for_each(|(name, why)| batches.observer.left_out(name, why));
    Ok(roundings)
}

/// Runs a model on the data, several batches at once, each in parts unless `is_whole`. `new_observer` makes an observer for the batch of
/// an index, `observe` passes it every value of the run, and `merge` receives the observers in the order of the batches.
pub(crate) fn observe_batches<O: Send>(
    (executor, is_whole): (&dyn Executor, bool),
    batches: &mut Batches<'_>,
    new_observer: impl Fn(usize) -> O + Sync,
    observe: impl Fn(&mut O, &Part, ValueRef, &Tensor) -> Result<()> + Sync,
    merge: impl FnMut(O) -> Result<()>,
) -> Result<()> {
    let run_batch = |batch, inputs: &[Tensor]| {
        let mut observer = new_observer(batch);
        let parts = if is_whole { vec![BatchPart::whole(inputs)] } else { executor.parts(inputs) };
        run_parts(executor, parts, |part, value, tensor| observe(&mut observer, part, value, tensor))?;
        Ok(observer)
    };
    batches.in_parallel(run_batch, merge)
}
