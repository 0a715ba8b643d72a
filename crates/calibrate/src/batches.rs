//! The calibration data, batch by batch: one after the other, or on all cores.

use crate::evaluator::{Evaluator, failed};
use intact8_ir::{Error, Result, Tensor};
use intact8_quant::QuantConfig;
use rayon::prelude::*;

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

/// Calls `of_batch` with the number and the inputs of each batch of calibration data, for as many batches at once as there
/// are threads, and `take` with what it gives, in the order of the batches: nothing depends on the number of threads.
pub(crate) fn each_batch_at_once<T: Send>(
    config: &QuantConfig,
    evaluator: &mut impl Evaluator,
    of_batch: impl Fn(usize, &[Tensor]) -> Result<T> + Sync,
    mut take: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let mut wave: Vec<Vec<Tensor>> = Vec::new();
    let mut n_done = 0;
    let mut run = |wave: &mut Vec<Vec<Tensor>>| {
        let of_wave = |(idx, inputs): (usize, &Vec<Tensor>)| of_batch(n_done + idx, inputs);
        let made: Vec<Result<T>> = wave.par_iter().enumerate().map(of_wave).collect();
        n_done += wave.len();
        wave.clear();
        made.into_iter().try_for_each(|made| take(made?))
    };
    each_batch(config, evaluator, &mut |inputs| {
        wave.push(inputs.to_vec());
        if wave.len() == rayon::current_num_threads() { run(&mut wave) } else { Ok(()) }
    })?;
    run(&mut wave)
}

/// The inputs of the first batches, as many as there are threads.
pub(crate) fn first_batches(
    config: &QuantConfig,
    evaluator: &mut impl Evaluator,
) -> Result<Vec<Vec<Tensor>>> {
    let batch_num = config.batch_num.min(rayon::current_num_threads());
    let mut first = Vec::new();
    each_batch(&QuantConfig { batch_num, ..config.clone() }, evaluator, &mut |inputs| {
        first.push(inputs.to_vec());
        Ok(())
    })?;
    Ok(first)
}
