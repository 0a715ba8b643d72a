//! Clipping by output error: the choice of smaller activation ranges by the error at the network's outputs.
//!
//! The error at a layer does not tell whether rare values far from all others matter, since they dominate it. The candidates
//! come from the observation; this stage only chooses.

use crate::calibrated::{Calibrated, Ranges};
use crate::data::Batches;
use crate::output_noise::output_noise;
use crate::passes::{Halt, Passes};
use crate::smoothing::restricted;
use crate::states::{CalibrationPass, CandidateErrors, PassContent};
use intact8_ir::{Error, Executor, Model, Pipeline, Result, Runtime, Tensor};
use intact8_quant::calibration::ClippingCandidate;
use intact8_quant::{QuantConfig, QuantParams, Record, fake_quant};
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The largest error at the network's outputs, relative to that with the full range, with which a clipped range is used. Unless
/// only sentinel values lie outside, it must also not increase the error of any batch: some samples may depend on the clipped
/// values alone.
const MAX_ERROR_RATIO: f64 = 0.7;

/// A model with its executor and runtime.
pub(crate) struct Network<'a> {
    pub(crate) model: &'a Model,
    pub(crate) executor: &'a dyn Executor,
    pub(crate) runtime: &'a dyn Runtime,
}

/// Replaces ranges by clipped ones where the network's outputs are then closer to the float ones. For each activation only the
/// layers that use it are quantized, with the full ranges of their other activations, so no choice depends on another. Most
/// candidates increase the error of one of the first batches already; then the further batches are not run.
///
/// A network without f32 outputs, or whose outputs change their shapes, keeps the full ranges.
pub(crate) fn clip(
    network: &Network<'_>,
    config: &QuantConfig,
    ranges: &mut Ranges,
    candidates: &[ClippingCandidate],
    (pass, passes): (CalibrationPass, &mut Passes<'_, '_>),
) -> Result<(), Halt> {
    if candidates.is_empty() {
        return Ok(());
    }
    let activations: Vec<&[ClippingCandidate]> = candidates.chunk_by(|a, b| a.users == b.users).collect();
    let state = passes.pass(pass, |batches| {
        let first = batches.first()?;
        let expected: Vec<Vec<Tensor>> =
            first.par_iter().map(|(_, inputs)| network.executor.run(inputs)).collect::<Result<_>>()?;
        let errors = activations.iter().map(|candidates| {
            let comparison = Comparison::new(network, config, ranges, candidates)?;
            comparison.errors(&first, &expected, batches)
        });
        Ok(PassContent::Errors(errors.collect::<Result<_>>()?))
    })?;
    let PassContent::Errors(errors) = state else { return Err(other_state().into()) };
    if errors.len() != activations.len() {
        return Err(other_state().into());
    }
    for (candidates, errors) in activations.iter().zip(&errors) {
        if errors.is_harmful.len() != candidates.len() {
            return Err(other_state().into());
        }
        if let Some(chosen) = chosen(errors) {
            replace(ranges, &candidates[chosen]);
        }
    }
    Ok(())
}

fn other_state() -> Error {
    Error::invalid_data("the state of the pass is that of other clipping candidates")
}

/// The chosen candidate: each is compared with the range that is chosen so far, which at first is the full one.
fn chosen(errors: &CandidateErrors) -> Option<usize> {
    let mut range = 0;
    for candidate in 0..errors.is_harmful.len() {
        let [before, after] = [range, 1 + candidate].map(|range| errors.sums[range].value());
        if !errors.is_harmful[candidate][range] && after < MAX_ERROR_RATIO * before {
            range = 1 + candidate;
        }
    }
    range.checked_sub(1)
}

/// Replaces the range of a candidate's activation in all its users.
fn replace(ranges: &mut Ranges, candidate: &ClippingCandidate) {
    for (layer, operand) in &candidate.users {
        let activations = ranges.0.get_mut(layer).map(|ranges| &mut ranges.activations);
        let params: Option<&mut QuantParams> =
            activations.and_then(|activations| activations.get_mut(*operand));
        params.into_iter().for_each(|params| *params = candidate.params.clone());
    }
}

/// The executors of the network in float, and with the layers that use one activation quantized: with its full range and with each
/// candidate.
struct Comparison<'a> {
    float: &'a dyn Executor,
    quantized: Vec<Box<dyn Executor + 'a>>,
    /// For each candidate, whether it may increase the error of single batches.
    may_harm: Vec<bool>,
}

impl<'a> Comparison<'a> {
    fn new(
        network: &Network<'a>,
        config: &QuantConfig,
        ranges: &Ranges,
        candidates: &[ClippingCandidate],
    ) -> Result<Comparison<'a>> {
        let users = candidates.first().map_or(&[][..], |candidate| &candidate.users);
        let is_user = |name: &str| users.iter().any(|(user, _)| user == name);
        let user_ranges = ranges.0.iter().filter(|(name, _)| is_user(name));
        let full = Ranges(user_ranges.map(|(name, ranges)| (name.clone(), ranges.clone())).collect());
        let config = restricted(config, is_user);
        let quantized = |candidate: Option<&ClippingCandidate>| {
            let mut ranges = full.clone();
            candidate.into_iter().for_each(|candidate| replace(&mut ranges, candidate));
            let record: Record = Calibrated { ranges, ..Calibrated::default() }.into_record();
            let mut quantized = network.model.clone();
            let passes: Pipeline<'_> = fake_quant(&config, &record);
            passes.run(&mut quantized)?;
            network.runtime.compile(&quantized)
        };
        let all: Vec<Option<&ClippingCandidate>> =
            std::iter::once(None).chain(candidates.iter().map(Some)).collect();
        Ok(Comparison {
            float: network.executor,
            quantized: all.into_par_iter().map(quantized).collect::<Result<_>>()?,
            may_harm: candidates.iter().map(|candidate| candidate.excludes_sentinels).collect(),
        })
    }

    /// The errors over all selected batches, or as many of them as decide that no candidate is chosen. `expected` is the float
    /// outputs of the first batches.
    fn errors(
        &self,
        first: &[(usize, Vec<Tensor>)],
        expected: &[Vec<Tensor>],
        batches: &mut Batches<'_>,
    ) -> Result<CandidateErrors> {
        let is_rejected: Vec<AtomicBool> = self.may_harm.iter().map(|_| AtomicBool::new(false)).collect();
        let is_decided = || is_rejected.iter().all(|is_rejected| is_rejected.load(Relaxed));
        let mut errors = CandidateErrors::new(self.may_harm.len());
        let mut add = |of_batch: Option<Vec<f64>>| {
            let Some(of_batch) = of_batch else { return Ok(()) };
            errors.add(&of_batch, &self.may_harm);
            for (candidate, is_rejected) in is_rejected.iter().enumerate() {
                is_rejected.store(errors.is_rejected(candidate), Relaxed);
            }
            Ok(())
        };
        for (expected, (_, inputs)) in expected.iter().zip(first) {
            if !is_decided() {
                add(Some(self.of_batch(expected, inputs, &is_rejected)?))?;
            }
        }
        let last = first.last().map(|(last, _)| *last);
        let run_batch = |_, inputs: &[Tensor]| match is_decided() {
            true => Ok(None),
            false => self.of_batch(&self.float.run(inputs)?, inputs, &is_rejected).map(Some),
        };
        let is_further = |batch: usize| last.is_some_and(|last| batch > last);
        if !is_decided() {
            batches.needed_in_parallel(&is_further, run_batch, add)?;
        }
        Ok(errors)
    }

    /// The errors at the outputs on a batch, with the full range and with each candidate; NaN for those that are rejected.
    fn of_batch(
        &self,
        expected: &[Tensor],
        inputs: &[Tensor],
        is_rejected: &[AtomicBool],
    ) -> Result<Vec<f64>> {
        let errors = self.quantized.par_iter().enumerate().map(|(idx, executor)| {
            match idx > 0 && is_rejected[idx - 1].load(Relaxed) {
                true => Ok(f64::NAN),
                false => output_noise(expected, &**executor, inputs),
            }
        });
        errors.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrated::LayerRanges;
    use crate::passes::Share;
    use crate::states::CalibrationStates;
    use intact8_interp::Interpreter;
    use intact8_quant::QuantParams;

    /// The chosen one of the scales 1.3 and 0.04, for values up to 4 and a few of 160, with an activation function after the layer.
    fn chosen_scale(function: &str) -> f32 {
        let model: Model = format!(
            "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 0.0, 0.0, 1.0] : f32[2,2]\n\
             %p = MatMul(%x, %w) @fc\n%y = {function}(%p)\nreturn %y\n"
        )
        .parse()
        .unwrap();
        let value = |idx: usize| {
            let common = (idx as f32 * 0.618_034).fract() * 8.0 - 4.0;
            if idx.is_multiple_of(500) { 160.0 } else { common }
        };
        let mut data = vec![vec![Tensor::new(&[5000, 2], (0..10_000).map(value).collect())]];
        let config = QuantConfig::for_model(&model);
        let ranges = LayerRanges {
            activations: vec![QuantParams::per_tensor(1.3, 0, 8)],
            weights: vec![QuantParams::per_tensor(1.0 / 127.0, 0, 8)],
        };
        let mut ranges = Ranges([("fc".to_owned(), ranges)].into());
        let candidate = ClippingCandidate {
            users: vec![("fc".to_owned(), 0)],
            params: QuantParams::per_tensor(0.04, 0, 8),
            excludes_sentinels: false,
        };
        let runtime = Interpreter::default();
        let executor = runtime.session(&model).unwrap();
        let network = Network { model: &model, executor: &executor, runtime: &runtime };
        let mut observer = ();
        let mut batches = Batches::new(&mut data, 1, &mut observer);
        let mut states = CalibrationStates::default();
        let mut passes = Passes {
            batches: &mut batches,
            states: &mut states,
            share: Share::Whole,
            keeps: false,
            n_done: 0,
        };
        let clipped =
            clip(&network, &config, &mut ranges, &[candidate], (CalibrationPass::Clipping, &mut passes));
        assert!(clipped.is_ok());
        ranges.0["fc"].activations[0].scale[0]
    }

    #[test]
    fn a_range_is_clipped_if_the_outputs_do_not_depend_on_the_clipped_values() {
        assert_eq!((chosen_scale("Identity"), chosen_scale("Tanh")), (1.3, 0.04));
    }
}
