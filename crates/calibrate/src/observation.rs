//! Observation: the float model runs, and what every layer reads is collected.

use crate::calibrate::watch;
use crate::calibrated::SmoothingFactors;
use crate::data::Batches;
use crate::float_model::FloatModel;
use crate::sample::{Rows, Samples};
use crate::smoothing::with_candidates;
use intact8_ir::{Executor, Model, Result};
use intact8_quant::calibration::{ClippingCandidate, SmoothingCalibration};
use intact8_quant::{Calibration, QuantConfig, Record};
use std::sync::{Mutex, PoisonError};

/// What one pass over the data shows of the layers as they are.
pub(crate) struct Observed {
    /// The usual ranges of each layer.
    pub(crate) ranges: Record,
    /// ClippingCandidate ranges, for the network's outputs to choose from.
    pub(crate) candidates: Vec<ClippingCandidate>,
    /// The factors of each layer that may be smoothed.
    pub(crate) factors: SmoothingFactors,
    /// Rows of what the layers read.
    pub(crate) samples: Samples,
}

/// Runs the float model on all batches once.
pub(crate) fn observe(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    batches: &mut Batches<'_>,
) -> Result<Observed> {
    let model = float.model();
    let to_smooth = if config.auto_balance { &with_candidates(config, model) } else { config };
    let (mut calibration, mut balancing) =
        (Calibration::new(model, config)?, SmoothingCalibration::new(model, to_smooth));
    let samples = Samples::new(model, config)?;
    let mut rows: Vec<Rows> = Vec::new();
    let (spares, unused) = (Spares::of(&calibration), balancing.clone());
    watch(
        float.executor(),
        batches,
        |batch| (spares.take(), unused.clone(), samples.begin(batch)),
        |(calibration, balancing, sampling), place, tensor| {
            calibration.observe(place, tensor)?;
            balancing.observe(place, tensor)?;
            samples.observe(sampling, place, tensor)
        },
        |(of_batch, balanced, sampling)| {
            balancing.merge(&balanced);
            samples.keep(&sampling, &mut rows);
            spares.give_back(of_batch, &mut calibration)
        },
    )?;
    drop(spares);
    let (factors, samples) = (SmoothingFactors::of(balancing.finish()?), samples.finish(rows));
    let (ranges, candidates) = finished(calibration)?;
    Ok(Observed { ranges, candidates, factors, samples })
}

/// The ranges that a model's layers have, and the narrower candidates.
pub(crate) fn ranges(
    model: &Model,
    executor: &dyn Executor,
    config: &QuantConfig,
    batches: &mut Batches<'_>,
) -> Result<(Record, Vec<ClippingCandidate>)> {
    let mut calibration = Calibration::new(model, config)?;
    let spares = Spares::of(&calibration);
    watch(
        executor,
        batches,
        |_| spares.take(),
        Calibration::observe,
        |of_batch| spares.give_back(of_batch, &mut calibration),
    )?;
    drop(spares);
    finished(calibration)
}

/// What a calibration has found. Its histograms need not stay in memory while the network runs again.
fn finished(calibration: Calibration) -> Result<(Record, Vec<ClippingCandidate>)> {
    Ok((calibration.ranges()?, calibration.clipping_candidates()))
}

/// Calibrations that have seen nothing yet, one for each batch under way; their memory is used again.
struct Spares {
    begun: Calibration,
    spare: Mutex<Vec<Calibration>>,
}

impl Spares {
    fn of(begun: &Calibration) -> Spares {
        Spares { begun: begun.clone(), spare: Mutex::default() }
    }

    fn take(&self) -> Calibration {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| self.begun.clone())
    }

    fn give_back(&self, mut used: Calibration, all: &mut Calibration) -> Result<()> {
        used.drain_into(all)?;
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(used);
        Ok(())
    }
}
