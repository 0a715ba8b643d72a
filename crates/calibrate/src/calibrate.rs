//! Calibration as a whole: the stages in their order.

use crate::calibrated::{Calibrated, Ranges, Roundings, SmoothingFactors};
use crate::data::{Batches, CalibrationData};
use crate::float_model::FloatModel;
use crate::observer::{CalibrationObserver, CalibrationStage};
use crate::sample::{Rows, Sampled, Samples};
use crate::{bias_correction, clipping, observation, rounding, smoothing};
use intact8_ir::{Error, Executor, Model, Pass, Result};
use intact8_quant::calibration::ClippingCandidate;
use intact8_quant::passes::Smooth;
use intact8_quant::{QuantConfig, Record};
use rayon::prelude::*;

/// Finds the quantization parameters of all layers that a configuration enables, from the first `batch_num` batches of the
/// data.
///
/// Layers stay independent of each other: the parameters of one do not depend on which others are quantized, except that
/// layers which read the same activation are smoothed together.
///
/// # Errors
/// If there are fewer batches, if no data reach an enabled layer, if data or runtime fail, or if the configuration does
/// not fit the model.
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
    let factors = smoothing::worthwhile(float, config, observed.factors, &observed.samples, batches)?;
    let is_smoothed = |name: &str| factors.0.contains_key(name);
    batches.observer.stage(CalibrationStage::Clipping);
    let candidates = observed.candidates.into_iter();
    let candidates = candidates.filter(|it| !it.readers.iter().any(|(reader, _)| is_smoothed(reader)));
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

/// Observes the layers that are smoothed again, in the smoothed model, and replaces their ranges; returned is that model.
fn smooth(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    factors: &SmoothingFactors,
    ranges: &mut Ranges,
    batches: &mut Batches<'_>,
) -> Result<Model> {
    let config = smoothing::only(config, |name| factors.0.contains_key(name));
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

/// Chooses how the weights of sampled layers are rounded; they are those of the smoothed model.
fn round(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    (smoothed, samples): (&Model, &Samples),
    calibrated: &Calibrated,
    batches: &mut Batches<'_>,
) -> Result<Roundings> {
    let record = calibrated.record();
    let mut roundings = Roundings::default();
    samples.for_each_group(float.executor(), batches, |group, rows| {
        let at_layer = |(sampled, rows): (&Sampled, &Rows)| {
            let name = &sampled.layer.name;
            let rounded_up = record
                .layer(name)
                .and_then(|entry| rounding::rounded_up(smoothed, config, sampled, rows, entry));
            Ok((name.clone(), rounded_up.map_err(|error: Error| error.at(name))?))
        };
        roundings.0.extend(group.par_iter().zip(rows).map(at_layer).collect::<Result<Vec<_>>>()?);
        Ok(())
    })?;
    Ok(roundings)
}

/// Runs a model on the data, several batches at once. Each batch has an observer of its own, which receives every value, and
/// `take` receives the observers in the order of the batches.
pub(crate) fn watch<O: Send>(
    executor: &dyn Executor,
    batches: &mut Batches<'_>,
    observer: impl Fn(usize) -> O + Sync,
    see: impl Fn(&mut O, intact8_ir::ValueRef, &intact8_ir::Tensor) -> Result<()> + Sync,
    take: impl FnMut(O) -> Result<()>,
) -> Result<()> {
    let of_batch = |batch, inputs: &[intact8_ir::Tensor]| {
        let mut observer = observer(batch);
        executor.run_tapped(inputs, &mut |place, tensor| see(&mut observer, place, tensor))?;
        Ok(observer)
    };
    batches.in_parallel(of_batch, take)
}
