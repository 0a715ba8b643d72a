//! Calibrating: the float model runs on the evaluator's data, and every layer's inputs are observed.

use crate::batches::each_batch_at_once;
use crate::evaluator::Evaluator;
use crate::layer_error::{LayerError, layer_errors};
use crate::narrow::narrow;
use crate::rounding::round_weights;
use quantfit_interp::Session;
use quantfit_ir::{Model, Pass, Place, Result, Tensor};
use quantfit_quant::{Balance, Balancing, Calibration, QuantConfig, Record, balances_for_free};
use std::collections::BTreeMap;

/// The record of a prepared model: its layers' scales and offsets, from the first `batch_num` batches that the
/// evaluator gives. Fewer batches than that are an error.
///
/// Layers stay independent of each other: what one gets does not depend on which others are quantized, but for those
/// that read the same activation and are balanced together.
pub fn calibrate(model: &Model, config: &QuantConfig, evaluator: &mut impl Evaluator) -> Result<Record> {
    let is_asked = |layer: &&String| config.layers[*layer].dmq_balancer_param.is_some();
    let asked: Vec<String> = config.layers.keys().filter(is_asked).cloned().collect();
    let to_balance = if config.auto_balance { &balanced(config, model) } else { config };
    let (mut record, balance) = plain(model, &config.rolled_back(&asked), to_balance, evaluator)?;
    let in_balance = balanced_record(model, config, balance, evaluator)?;
    if !config.correct_bias && !config.auto_balance {
        record.layers.extend(in_balance.layers);
        return Ok(record);
    }
    let [mut errors, errors_in_balance] = layer_errors(model, config, [&record, &in_balance], evaluator)?;
    take_the_better(model, config, (&mut record, &mut errors), (in_balance, errors_in_balance));
    for (name, error) in errors.into_iter().filter(|_| config.correct_bias) {
        if let Some(entry) = record.layers.get_mut(&name) {
            entry.bias_shift = error.means;
        }
    }
    Ok(record)
}

/// The record without any balancing, and that of nothing but the factors for the layers that `to_balance` gives a strength,
/// in one pass over the data.
fn plain(
    model: &Model,
    config: &QuantConfig,
    to_balance: &QuantConfig,
    evaluator: &mut impl Evaluator,
) -> Result<(Record, Record)> {
    let (calibration, balancing) = (Calibration::new(model, config)?, Balancing::new(model, to_balance));
    let mut all = (calibration.clone(), balancing.clone());
    watch(
        (model, config, evaluator),
        || (calibration.clone(), balancing.clone()),
        |(calibration, balancing), place, tensor| {
            calibration.observe(place, tensor)?;
            balancing.observe(place, tensor)
        },
        |(calibration, balancing)| {
            all.0.merge(calibration.statistics())?;
            all.1.merge(&balancing);
            Ok(())
        },
    )?;
    let mut record = all.0.finish()?;
    narrow(model, config, &mut record, all.0.narrower(), evaluator)?;
    round_weights(model, config, &mut record, evaluator)?;
    Ok((record, all.1.finish()?))
}

/// The record of those layers alone that are balanced.
fn balanced_record(
    model: &Model,
    config: &QuantConfig,
    balance: Record,
    evaluator: &mut impl Evaluator,
) -> Result<Record> {
    if balance.layers.is_empty() {
        return Ok(balance);
    }
    let others: Vec<String> =
        config.layers.keys().filter(|layer| !balance.layers.contains_key(*layer)).cloned().collect();
    let config = QuantConfig { tensor_quantize: vec![], ..config.rolled_back(&others) };
    let mut model = model.clone();
    Balance { config: &config, record: &balance }.run(&mut model)?;
    let calibration = Calibration::new(&model, &config)?;
    let mut all = calibration.clone();
    watch(
        (&model, &config, evaluator),
        || calibration.clone(),
        Calibration::observe,
        |calibration| all.merge(calibration.statistics()),
    )?;
    let mut record = all.finish()?;
    narrow(&model, &config, &mut record, all.narrower(), evaluator)?;
    round_weights(&model, &config, &mut record, evaluator)?;
    for (name, entry) in balance.layers {
        record.layers.entry(name).or_default().balance = entry.balance;
    }
    Ok(record)
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

/// Puts the entries and errors of balanced layers among the plain ones where the layers gain, or were asked to be balanced;
/// layers that read one activation go together.
fn take_the_better(
    model: &Model,
    config: &QuantConfig,
    (record, errors): (&mut Record, &mut BTreeMap<String, LayerError>),
    (mut balanced, mut balanced_errors): (Record, BTreeMap<String, LayerError>),
) {
    let mut groups: BTreeMap<Place, Vec<String>> = BTreeMap::new();
    for (layer, _) in config.enabled(model) {
        if balanced.layers.contains_key(&layer.name) {
            groups.entry(layer.inputs(model)[0]).or_default().push(layer.name);
        }
    }
    for group in groups.into_values() {
        let total = |errors: &BTreeMap<String, LayerError>| -> f64 {
            let of_layer = |name: &String| {
                let error = errors.get(name);
                error.map_or(0.0, |error| if config.correct_bias { error.corrected } else { error.relative })
            };
            group.iter().map(of_layer).sum()
        };
        let is_asked = group.iter().any(|name| !record.layers.contains_key(name));
        if is_asked || total(&balanced_errors) < WORTH_IT * total(errors) {
            let entries = group.iter().filter_map(|name| balanced.layers.remove_entry(name));
            record.layers.extend(entries);
            let of_group = group.iter().filter_map(|name| balanced_errors.remove_entry(name));
            errors.extend(of_group);
        }
    }
}

/// Runs the float model on the calibration data, on several batches at once. Each batch has an observer of its own, that
/// `see` shows every value, and `take` gets them in the order of the batches.
fn watch<O: Send>(
    (model, config, evaluator): (&Model, &QuantConfig, &mut impl Evaluator),
    observer: impl Fn() -> O + Sync,
    see: impl Fn(&mut O, Place, &Tensor) -> Result<()> + Sync,
    take: impl FnMut(O) -> Result<()>,
) -> Result<()> {
    let session = Session::new(model)?;
    let of_batch = |_, inputs: &[Tensor]| {
        let mut observer = observer();
        session.run_tapped(inputs, &mut |place, tensor| see(&mut observer, place, tensor))?;
        Ok(observer)
    };
    each_batch_at_once(config, evaluator, of_batch, take)
}
