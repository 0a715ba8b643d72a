//! Observation: the float model runs once, and ranges, clipping candidates, smoothing factors and samples are collected from
//! the inputs of its layers.

use crate::calibrate::observe_batches;
use crate::calibrated::SmoothingFactors;
use crate::float_model::FloatModel;
use crate::passes::{Halt, Passes, Share};
use crate::sample::{LayerSamples, RowSample};
use crate::smoothing::with_default_strengths;
use crate::states::{CalibrationPass, PassContent};
use intact8_ir::{Error, Model, Result, Runtime};
use intact8_quant::calibration::{ClippingCandidate, SmoothingCalibration, ValueHistogram};
use intact8_quant::{Calibration, QuantConfig, Record};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The results of one pass over the data through the layers as they are, without smoothing.
pub(crate) struct Observed {
    /// The ranges of each layer, before clipping.
    pub(crate) ranges: Record,
    /// Clipped ranges, to be chosen by the error at the network's outputs.
    pub(crate) candidates: Vec<ClippingCandidate>,
    /// The distributions of the layers' activations.
    pub(crate) histograms: BTreeMap<String, ValueHistogram>,
    /// The smoothing factors of each layer that may be smoothed.
    pub(crate) factors: SmoothingFactors,
    /// Rows of the layers' inputs.
    pub(crate) samples: LayerSamples,
}

/// Runs the float model on all batches once.
pub(crate) fn observe(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    passes: &mut Passes<'_, '_>,
) -> Result<Observed, Halt> {
    let model = float.model();
    let smoothing_config = if config.auto_balance { &with_default_strengths(config, model) } else { config };
    let (mut calibration, mut smoothing) =
        (Calibration::new(model, config)?, SmoothingCalibration::new(model, smoothing_config));
    let samples = LayerSamples::new(model, config, passes.batches.len(), float.memory())?;
    // A shard's state has no rows: the choices that need them run the few batches that they come from.
    let samples_rows = passes.share == Share::Whole;
    let mut rows: Option<Vec<RowSample>> = None;
    let state = passes.pass(CalibrationPass::Observation, |batches| {
        let (pool, unused) = (CalibrationPool::new(&calibration), smoothing.clone());
        let mut smoothing = smoothing.clone();
        let sampled = rows.insert(Vec::new());
        let sampled_values = samples.observed_values().filter(|_| samples_rows);
        let watched = calibration.observed_values().chain(smoothing.observed_values()).chain(sampled_values);
        observe_batches(
            (&*float.watched(watched)?, calibration.averages_batches()),
            batches,
            |batch| (pool.take(), unused.clone(), samples.start_batch(batch)),
            |(calibration, smoothing, on_batch), part, value, tensor| {
                calibration.observe(value, tensor)?;
                smoothing.observe(value, tensor)?;
                if samples_rows { samples.observe(on_batch, part, value, tensor) } else { Ok(()) }
            },
            |(batch_calibration, batch_smoothing, on_batch)| {
                smoothing.merge(&batch_smoothing);
                samples.append(&on_batch, sampled);
                pool.give_back(batch_calibration);
                Ok(())
            },
        )?;
        let statistics = pool.finish()?.take_statistics();
        Ok(PassContent::Observed { statistics, maxima: smoothing.maxima() })
    })?;
    let PassContent::Observed { statistics, maxima } = state else { return Err(other_state().into()) };
    calibration.add_statistics(&statistics)?;
    smoothing.add_maxima(&maxima)?;
    drop(statistics);
    calibration.check_reached()?;
    let factors = SmoothingFactors::of(smoothing.finish()?);
    let samples = samples.finish(rows);
    let ObservedRanges { ranges, candidates, histograms } = finished(calibration)?;
    Ok(Observed { ranges, candidates, histograms, factors, samples })
}

fn other_state() -> Error {
    Error::invalid_data("the state of the pass is that of another one")
}

/// The ranges of a model's layers, with all that belongs to them.
pub(crate) struct ObservedRanges {
    /// The ranges of each layer, before clipping.
    pub(crate) ranges: Record,
    /// Clipped ranges, to be chosen by the error at the network's outputs.
    pub(crate) candidates: Vec<ClippingCandidate>,
    /// The distributions of the layers' activations.
    pub(crate) histograms: BTreeMap<String, ValueHistogram>,
}

/// Observes the ranges of the smoothed layers in the smoothed model.
pub(crate) fn smoothed_ranges(
    (model, runtime): (&Model, &dyn Runtime),
    config: &QuantConfig,
    passes: &mut Passes<'_, '_>,
) -> Result<ObservedRanges, Halt> {
    let mut calibration = Calibration::new(model, config)?;
    let state = passes.pass(CalibrationPass::SmoothedObservation, |batches| {
        let pool = CalibrationPool::new(&calibration);
        let executor = runtime.compile_watched(model, &calibration.observed_values().collect())?;
        observe_batches(
            (&*executor, calibration.averages_batches()),
            batches,
            |_| pool.take(),
            |calibration, _, value, tensor| calibration.observe(value, tensor),
            |batch_calibration| {
                pool.give_back(batch_calibration);
                Ok(())
            },
        )?;
        Ok(PassContent::Observed { statistics: pool.finish()?.take_statistics(), maxima: vec![] })
    })?;
    let PassContent::Observed { statistics, .. } = state else { return Err(other_state().into()) };
    calibration.add_statistics(&statistics)?;
    Ok(finished(calibration)?)
}

/// The results of a calibration. Takes it by value, so that its histograms are freed before the network runs again.
fn finished(calibration: Calibration) -> Result<ObservedRanges> {
    Ok(ObservedRanges {
        ranges: calibration.ranges()?,
        candidates: calibration.clipping_candidates(),
        histograms: calibration.histograms(),
    })
}

/// Calibrations for the batches that run at once. One is used for many batches: what it observes does not depend on the distribution.
struct CalibrationPool {
    empty: Calibration,
    free: Mutex<Vec<Calibration>>,
}

impl CalibrationPool {
    fn new(empty: &Calibration) -> CalibrationPool {
        CalibrationPool { empty: empty.clone(), free: Mutex::default() }
    }

    fn take(&self) -> Calibration {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| self.empty.clone())
    }

    fn give_back(&self, used: Calibration) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(used);
    }

    /// The calibration with the observations of all batches.
    fn finish(self) -> Result<Calibration> {
        let mut used = self.free.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter();
        let mut all = used.next().unwrap_or(self.empty);
        used.try_for_each(|calibration| all.merge(calibration.statistics()))?;
        Ok(all)
    }
}
