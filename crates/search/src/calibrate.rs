//! Calibrating: the float model runs on the evaluator's data, and every layer's inputs are observed.

use crate::balance::{alone, keep_the_better, with_candidates};
use crate::batches::each_batch_at_once;
use crate::evaluator::Evaluator;
use crate::mean_error::mean_errors;
use crate::narrow::narrow;
use crate::rounding::rounded_up;
use crate::sample::{Rows, Sampled, Samples};
use intact8_interp::Session;
use intact8_ir::{Error, Model, Pass, Place, Result, Tensor};
use intact8_quant::calibration::{ClippingCandidate, SmoothingCalibration};
use intact8_quant::passes::Smooth;
use intact8_quant::{Calibration, LayerRecord, QuantConfig, Record};
use rayon::prelude::*;
use std::sync::Mutex;

/// The record of a prepared model: its layers' scales and offsets, from the first `batch_num` batches that the
/// evaluator gives. Fewer batches than that are an error.
///
/// Layers stay independent of each other: what one gets does not depend on which others are quantized, but for those
/// that read the same activation and are balanced together.
pub fn calibrate(model: &Model, config: &QuantConfig, evaluator: &mut impl Evaluator) -> Result<Record> {
    let to_balance = if config.auto_balance { &with_candidates(config, model) } else { config };
    let (calibration, mut factors, samples) = first_pass(model, config, to_balance, evaluator)?;
    let (mut record, mut narrower) = finished(calibration)?;
    keep_the_better(model, config, &mut factors, &samples, evaluator)?;
    narrower
        .retain(|narrower| !narrower.readers.iter().any(|(reader, _)| factors.layers.contains_key(reader)));
    narrow(model, config, &mut record, narrower, evaluator)?;
    let balanced = match factors.layers.is_empty() {
        true => None,
        false => Some(in_balance(model, config, factors, &mut record, evaluator)?),
    };
    let balanced = balanced.as_ref().unwrap_or(model);
    round_weights(model, config, (balanced, &samples), &mut record, evaluator)?;
    if config.correct_bias {
        for (name, means) in mean_errors((model, balanced), config, &record, evaluator)? {
            record.layers.entry(name).or_default().bias_shift = means;
        }
    }
    Ok(record)
}

/// What is seen of the layers as they are, the factors of those layers that `to_balance` gives a strength, and samples, in one
/// pass over the data.
fn first_pass(
    model: &Model,
    config: &QuantConfig,
    to_balance: &QuantConfig,
    evaluator: &mut impl Evaluator,
) -> Result<(Calibration, Record, Samples)> {
    let (mut calibration, mut balancing) =
        (Calibration::new(model, config)?, SmoothingCalibration::new(model, to_balance));
    let samples = Samples::new(model, config)?;
    let mut rows: Vec<Rows> = Vec::new();
    let (observers, unbalanced) = (Observers::of(&calibration), balancing.clone());
    watch(
        (model, config, evaluator),
        |batch| (observers.take(), unbalanced.clone(), samples.begin(batch)),
        |(calibration, balancing, sampling), place, tensor| {
            calibration.observe(place, tensor)?;
            balancing.observe(place, tensor)?;
            samples.observe(sampling, place, tensor)
        },
        |(of_batch, balanced, sampling)| {
            balancing.merge(&balanced);
            samples.keep(&sampling, &mut rows);
            observers.give_back(of_batch, &mut calibration)
        },
    )?;
    Ok((calibration, balancing.finish()?, samples.finish(rows)))
}

/// Puts entries of the layers that are balanced, and only of these, into the record; returned is the model in balance.
fn in_balance(
    model: &Model,
    config: &QuantConfig,
    factors: Record,
    record: &mut Record,
    evaluator: &mut impl Evaluator,
) -> Result<Model> {
    let config = alone(config, |name| factors.layers.contains_key(name));
    let mut balanced = model.clone();
    Smooth { config: &config, record: &factors }.run(&mut balanced)?;
    let mut calibration = Calibration::new(&balanced, &config)?;
    let observers = Observers::of(&calibration);
    watch(
        (&balanced, &config, evaluator),
        |_| observers.take(),
        Calibration::observe,
        |of_batch| observers.give_back(of_batch, &mut calibration),
    )?;
    drop(observers);
    let (mut found, narrower) = finished(calibration)?;
    narrow(&balanced, &config, &mut found, narrower, evaluator)?;
    for (name, entry) in factors.layers {
        found.layers.entry(name).or_default().smoothing = entry.smoothing;
    }
    record.layers.extend(found.layers);
    Ok(balanced)
}

/// What a calibration has found. It has many bins, which need not stay while the network is run again.
fn finished(calibration: Calibration) -> Result<(Record, Vec<ClippingCandidate>)> {
    Ok((calibration.finish()?, calibration.clipping_candidates()))
}

/// Puts into the record which way the weights of sampled layers are rounded; they are those of the model in balance.
fn round_weights(
    model: &Model,
    config: &QuantConfig,
    (balanced, samples): (&Model, &Samples),
    record: &mut Record,
    evaluator: &mut impl Evaluator,
) -> Result<()> {
    samples.for_each_group(model, config, evaluator, |group, rows| {
        let finished = |sampled: &Sampled, rows: &Rows| {
            let mut entry: LayerRecord = record.layer(&sampled.layer.name)?.clone();
            entry.rounded_up = rounded_up(balanced, config, sampled, rows, &entry)?;
            Ok((sampled.layer.name.clone(), entry))
        };
        let at_layer = |(sampled, rows): (&Sampled, &Rows)| {
            finished(sampled, rows).map_err(|error: Error| error.at(&sampled.layer.name))
        };
        let entries = group.par_iter().zip(rows).map(at_layer).collect::<Result<Vec<_>>>()?;
        record.layers.extend(entries);
        Ok(())
    })
}

/// Calibrations that have seen nothing yet, one for each batch under way.
struct Observers {
    begun: Calibration,
    spare: Mutex<Vec<Calibration>>,
}

impl Observers {
    fn of(begun: &Calibration) -> Observers {
        Observers { begun: begun.clone(), spare: Mutex::default() }
    }

    fn take(&self) -> Calibration {
        let spare = self.spare.lock().expect("nothing panics under the lock").pop();
        spare.unwrap_or_else(|| self.begun.clone())
    }

    fn give_back(&self, mut used: Calibration, all: &mut Calibration) -> Result<()> {
        used.drain_into(all)?;
        self.spare.lock().expect("nothing panics under the lock").push(used);
        Ok(())
    }
}

/// Runs the float model on the calibration data, on several batches at once. Each batch has an observer of its own, that
/// `see` shows every value, and `take` gets them in the order of the batches.
fn watch<O: Send>(
    (model, config, evaluator): (&Model, &QuantConfig, &mut impl Evaluator),
    observer: impl Fn(usize) -> O + Sync,
    see: impl Fn(&mut O, Place, &Tensor) -> Result<()> + Sync,
    take: impl FnMut(O) -> Result<()>,
) -> Result<()> {
    let session = Session::new(model)?;
    let of_batch = |batch, inputs: &[Tensor]| {
        let mut observer = observer(batch);
        session.run_tapped(inputs, &mut |place, tensor| see(&mut observer, place, tensor))?;
        Ok(observer)
    };
    each_batch_at_once(config, evaluator, of_batch, take)
}
