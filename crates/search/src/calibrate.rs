//! Calibrating: the float model runs on the evaluator's data, and every layer's inputs are observed.

use crate::ada_round::ada_round;
use crate::evaluator::{Evaluator, failed};
use crate::layer_error::{LayerError, layer_errors};
use crate::narrow::narrow;
use quantfit_interp::Session;
use quantfit_ir::{Error, Model, Pass, Place, Result, Tensor};
use quantfit_quant::{Balance, Balancing, Calibration, QuantConfig, Record, balances_for_free};
use std::collections::BTreeMap;

/// The record of a prepared model: its layers' scales and offsets, from the first `batch_num` batches that the
/// evaluator gives. Fewer batches than that are an error.
///
/// Layers stay independent of each other: what one gets does not depend on which others are quantized, but for those
/// that read the same activation and are balanced together.
pub fn calibrate(model: &Model, config: &QuantConfig, evaluator: &mut impl Evaluator) -> Result<Record> {
    let plain = measured(model, config, evaluator)?;
    if !config.auto_balance {
        return Ok(plain.record);
    }
    let balanced = measured(model, &balanced(config, model), evaluator)?;
    Ok(the_better(model, config, plain, &balanced))
}

/// Scales and offsets, and the errors that they make.
struct Measured {
    record: Record,
    /// Empty if nobody wants them.
    errors: BTreeMap<String, LayerError>,
}

fn measured(model: &Model, config: &QuantConfig, evaluator: &mut impl Evaluator) -> Result<Measured> {
    let mut balancing = Balancing::new(model, config);
    let mut balanced = model.clone();
    if !balancing.is_empty() {
        watch(model, config, evaluator, &mut |place, tensor| balancing.observe(place, tensor))?;
    }
    let balance = balancing.finish()?;
    Balance { config, record: &balance }.run(&mut balanced)?;
    let mut calibration = Calibration::new(&balanced, config)?;
    watch(&balanced, config, evaluator, &mut |place, tensor| calibration.observe(place, tensor))?;
    let mut record = calibration.finish()?;
    narrow(&balanced, config, &mut record, calibration.narrower(), evaluator)?;
    for (name, entry) in balance.layers {
        record.layers.entry(name).or_default().balance = entry.balance;
    }
    ada_round(&balanced, config, &mut record, evaluator)?;
    let mut errors = BTreeMap::new();
    if config.correct_bias || config.auto_balance {
        errors = layer_errors(model, config, &record, evaluator)?;
    }
    for (name, error) in errors.iter().filter(|_| config.correct_bias) {
        if let Some(entry) = record.layers.get_mut(name) {
            entry.bias_shift = error.means.clone();
        }
    }
    Ok(Measured { record, errors })
}

/// How strongly ranges are moved where nobody says.
const STRENGTH: f64 = 0.7;

/// A layer is balanced if no more than this part of its error is left: dividing costs a multiplication at run time.
const WORTH_IT: f64 = 0.7;

/// The configuration with every layer balanced that can be, as cheaply as is asked for, and has no strength of its own.
fn balanced(config: &QuantConfig, model: &Model) -> QuantConfig {
    let mut balanced = config.clone();
    for (layer, _) in config.enabled(model).iter().filter(|(layer, _)| layer.output_axis().is_some()) {
        if !config.balance_nodes && !balances_for_free(model, layer) {
            continue;
        }
        if let Some(of_layer) = balanced.layers.get_mut(&layer.name) {
            of_layer.dmq_balancer_param.get_or_insert(STRENGTH);
        }
    }
    balanced
}

/// The plain record, with the entries of the balanced one for those layers that gain; layers that read one activation
/// go together.
fn the_better(model: &Model, config: &QuantConfig, plain: Measured, balanced: &Measured) -> Record {
    let mut groups: BTreeMap<Place, Vec<String>> = BTreeMap::new();
    for (layer, _) in config.enabled(model) {
        if let (Some(_), Some(&place)) = (layer.output_axis(), layer.inputs(model).first()) {
            groups.entry(place).or_default().push(layer.name);
        }
    }
    let mut record = plain.record;
    for group in groups.into_values() {
        let total = |errors: &BTreeMap<String, LayerError>| -> f64 {
            let of_layer = |name: &String| {
                let error = errors.get(name);
                error.map_or(0.0, |error| if config.correct_bias { error.corrected } else { error.relative })
            };
            group.iter().map(of_layer).sum()
        };
        if total(&balanced.errors) < WORTH_IT * total(&plain.errors) {
            let entries = group.into_iter().filter_map(|name| balanced.record.layers.get_key_value(&name));
            record.layers.extend(entries.map(|(name, entry)| (name.clone(), entry.clone())));
        }
    }
    record
}

/// Runs the float model on the calibration data and shows every value to `see`.
pub(crate) fn watch(
    model: &Model,
    config: &QuantConfig,
    evaluator: &mut impl Evaluator,
    see: &mut dyn FnMut(Place, &Tensor) -> Result<()>,
) -> Result<()> {
    let session = Session::new(model)?;
    each_batch(config, evaluator, &mut |inputs| session.run_tapped(inputs, see).map(drop))
}

/// Shows the inputs of each batch of calibration data to `see`.
pub(crate) fn each_batch(
    config: &QuantConfig,
    evaluator: &mut impl Evaluator,
    see: &mut dyn FnMut(&[Tensor]) -> Result<()>,
) -> Result<()> {
    let mut n_batches = 0;
    let mut forward = |inputs: &[Tensor]| {
        n_batches += 1;
        if n_batches > config.batch_num { Ok(()) } else { see(inputs) }
    };
    evaluator.calibration(config.batch_num, &mut forward).map_err(failed)?;
    if n_batches < config.batch_num {
        let expected = config.batch_num;
        let message =
            format!("the calibration data have {n_batches} batches, and batch_num asks for {expected}");
        return Err(Error::invalid_data(message));
    }
    Ok(())
}
