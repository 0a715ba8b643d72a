//! Calibration as a whole: the stages in their order. Each stage is in a file of its own.

use crate::calibrated::{Calibrated, Ranges, Roundings, SmoothingFactors};
use crate::data::{Batches, CalibrationData};
use crate::float_model::FloatModel;
use crate::observer::{CalibrationObserver, CalibrationStage};
use crate::sample::{LayerSamples, RowSample, SampledLayer};
use crate::{bias_correction, clipping, observation, rounding, smoothing};
use intact8_ir::{Error, Executor, Model, Pass, Result};
use intact8_quant::calibration::ClippingCandidate;
use intact8_quant::passes::Smooth;
use intact8_quant::{QuantConfig, Record};
use rayon::prelude::*;

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
    let batches = &mut Batches::new(data, config.batch_num, observer);
    batches.observer.stage(CalibrationStage::Observation);
    let observed = observation::observe(float, config, batches)?;
    let mut calibrated = Calibrated { ranges: Ranges::of(observed.ranges), ..Calibrated::default() };
    batches.observer.stage(CalibrationStage::Smoothing);
    let factors = smoothing::beneficial(float, config, observed.factors, &observed.samples, batches)?;
    let is_smoothed = |name: &str| factors.0.contains_key(name);
    batches.observer.stage(CalibrationStage::Clipping);
    let candidates = observed.candidates.into_iter();
    let candidates =
        candidates.filter(|candidate| !candidate.users.iter().any(|(user, _)| is_smoothed(user)));
    let network =
        clipping::Network { model: float.model(), executor: float.executor(), runtime: float.runtime() };
    clipping::clip(&network, config, &mut calibrated.ranges, candidates.collect(), batches)?;
    let smoothed = match factors.0.is_empty() {
        true => None,
        false => Some(smooth(float, config, &factors, &mut calibrated.ranges, batches)?),
    };
    calibrated.smoothing = factors;
    let smoothed = smoothed.as_ref().unwrap_or(float.model());
    batches.observer.stage(CalibrationStage::Rounding);
    calibrated.roundings = round(float, config, (smoothed, &observed.samples), &calibrated, batches)?;
    if config.correct_bias {
        batches.observer.stage(CalibrationStage::BiasCorrection);
        calibrated.bias_shifts =
            bias_correction::mean_errors(float, smoothed, config, &calibrated.record(), batches)?;
    }
    Ok(calibrated)
}

/// Observes the smoothed layers again in the smoothed model, replaces their ranges, and returns that model.
fn smooth(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    factors: &SmoothingFactors,
    ranges: &mut Ranges,
    batches: &mut Batches<'_>,
) -> Result<Model> {
    let config = smoothing::restricted(config, |name| factors.0.contains_key(name));
    let mut smoothed = float.model().clone();
    Smooth { config: &config, record: &factors.record() }.run(&mut smoothed)?;
    let executor = float.runtime().compile(&smoothed)?;
    let (found, candidates): (Record, Vec<ClippingCandidate>) =
        observation::ranges(&smoothed, &*executor, &config, batches)?;
    let mut found = Ranges::of(found);
    let network = clipping::Network { model: &smoothed, executor: &*executor, runtime: float.runtime() };
    clipping::clip(&network, &config, &mut found, candidates, batches)?;
    ranges.0.extend(found.0);
    Ok(smoothed)
}

/// Chooses the rounding of the weights of sampled layers, as they are in the smoothed model.
fn round(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    (smoothed, samples): (&Model, &LayerSamples),
    calibrated: &Calibrated,
    batches: &mut Batches<'_>,
) -> Result<Roundings> {
    let record = calibrated.record();
    let mut roundings = Roundings::default();
    samples.for_each_chunk(float.executor(), batches, |chunk, rows| {
        let round_layer = |(sampled, rows): (&SampledLayer, &RowSample)| {
            let name = &sampled.layer.name;
            let rounded_up = record
                .layer(name)
                .and_then(|entry| rounding::rounded_up(smoothed, config, sampled, rows, entry));
            Ok((name.clone(), rounded_up.map_err(|error: Error| error.at(name))?))
        };
        roundings.0.extend(chunk.par_iter().zip(rows).map(round_layer).collect::<Result<Vec<_>>>()?);
        Ok(())
    })?;
    Ok(roundings)
}

/// Runs a model on the data, several batches at once. `new_observer` makes an observer for the batch of an index, `observe`
/// passes it every value of the run, and `merge` receives the observers in the order of the batches.
pub(crate) fn observe_batches<O: Send>(
    executor: &dyn Executor,
    batches: &mut Batches<'_>,
    new_observer: impl Fn(usize) -> O + Sync,
    observe: impl Fn(&mut O, intact8_ir::ValueRef, &intact8_ir::Tensor) -> Result<()> + Sync,
    merge: impl FnMut(O) -> Result<()>,
) -> Result<()> {
    let run_batch = |batch, inputs: &[intact8_ir::Tensor]| {
        let mut observer = new_observer(batch);
        executor.run_tapped(inputs, &mut |value, tensor| observe(&mut observer, value, tensor))?;
        Ok(observer)
    };
    batches.in_parallel(run_batch, merge)
}
