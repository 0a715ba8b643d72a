//! Calibrating: the float model runs on the evaluator's data, and every layer's inputs are observed.

use crate::ada_round::ada_round;
use crate::correct_bias::correct_bias;
use crate::evaluator::{Evaluator, failed};
use quantfit_interp::Session;
use quantfit_ir::{Error, Model, Pass, Place, Result, Tensor};
use quantfit_quant::{Balance, Balancing, Calibration, QuantConfig, Record};

/// The record of a prepared model: its layers' scales and offsets, from the first `batch_num` batches that the
/// evaluator gives. Fewer batches than that are an error.
pub fn calibrate(model: &Model, config: &QuantConfig, evaluator: &mut impl Evaluator) -> Result<Record> {
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
    for (name, entry) in balance.layers {
        record.layers.entry(name).or_default().balance = entry.balance;
    }
    ada_round(&balanced, config, &mut record, evaluator)?;
    if config.correct_bias {
        correct_bias(model, config, &mut record, evaluator)?;
    }
    Ok(record)
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
