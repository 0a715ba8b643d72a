//! Clipping by output error: the choice of smaller activation ranges by the error at the network's outputs.
//!
//! The error at a layer does not tell whether rare values far from all others matter, since they dominate it. The candidates
//! come from the observation; this stage only chooses.

use crate::calibrated::{Calibrated, Ranges};
use crate::data::Batches;
use crate::output_noise::output_noise;
use crate::smoothing::restricted;
use intact8_ir::{Executor, Model, Pipeline, Result, Runtime, Tensor};
use intact8_quant::calibration::ClippingCandidate;
use intact8_quant::{QuantConfig, Record, fake_quant};
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

/// Replaces ranges by clipped ones where the network's outputs are then closer to the float ones. For each candidate only the
/// layers that use its activation are quantized, so no choice depends on another. Most candidates increase the error of one of
/// the first batches already; then the further batches are not run.
///
/// A network without f32 outputs, or whose outputs change their shapes, keeps the full ranges.
pub(crate) fn clip(
    network: &Network<'_>,
    config: &QuantConfig,
    ranges: &mut Ranges,
    candidates: Vec<ClippingCandidate>,
    batches: &mut Batches<'_>,
) -> Result<()> {
    if candidates.is_empty() {
        return Ok(());
    }
    let first = batches.first()?;
    let expected: Vec<Vec<Tensor>> =
        first.par_iter().map(|inputs| network.executor.run(inputs)).collect::<Result<_>>()?;
    for ClippingCandidate { users, params, excludes_sentinels } in candidates {
        let is_user = |name: &str| users.iter().any(|(user, _)| user == name);
        let user_ranges = ranges.0.iter().filter(|(name, _)| is_user(name));
        let full = Ranges(user_ranges.map(|(name, ranges)| (name.clone(), ranges.clone())).collect());
        let mut clipped = full.clone();
        for (layer, operand) in &users {
            if let Some(ranges) = clipped.0.get_mut(layer) {
                ranges.activations[*operand] = params.clone();
            }
        }
        let config = restricted(config, is_user);
        let quantized = |ranges: &Ranges| {
            let record: Record = Calibrated { ranges: ranges.clone(), ..Calibrated::default() }.into_record();
            let mut quantized = network.model.clone();
            let passes: Pipeline<'_> = fake_quant(&config, &record);
            passes.run(&mut quantized)?;
            network.runtime.compile(&quantized)
        };
        let (with_full, with_clipped) = rayon::join(|| quantized(&full), || quantized(&clipped));
        let (with_full, with_clipped) = (with_full?, with_clipped?);
        let comparison = Comparison {
            float: network.executor,
            full: &*with_full,
            clipped: &*with_clipped,
            excludes_sentinels,
        };
        if comparison.prefers_clipped(&first, &expected, batches)? {
            ranges.0.extend(clipped.0);
        }
    }
    Ok(())
}

/// The executors of the network in float, and with the layers that use one activation quantized: with its full range and with a
/// clipped one.
struct Comparison<'a> {
    float: &'a dyn Executor,
    full: &'a dyn Executor,
    clipped: &'a dyn Executor,
    excludes_sentinels: bool,
}

impl Comparison<'_> {
    /// Whether the outputs are closer to the float ones with the clipped range. `expected` is the float outputs of the first
    /// batches.
    fn prefers_clipped(
        &self,
        first: &[Vec<Tensor>],
        expected: &[Vec<Tensor>],
        batches: &mut Batches<'_>,
    ) -> Result<bool> {
        let is_harmless = |[full, clipped]: [f64; 2]| self.excludes_sentinels || clipped <= full;
        let (is_rejected, mut noises) = (AtomicBool::new(false), Vec::new());
        let mut add = |noise: Option<[f64; 2]>| {
            is_rejected.fetch_or(noise.is_some_and(|noise| !is_harmless(noise)), Relaxed);
            noises.extend(noise);
            Ok(())
        };
        for (expected, inputs) in expected.iter().zip(first) {
            if !is_rejected.load(Relaxed) {
                add(Some(self.noise(expected, inputs)?))?;
            }
        }
        if is_rejected.load(Relaxed) {
            return Ok(false);
        }
        let run_batch = |idx: usize, inputs: &[Tensor]| match idx < first.len() || is_rejected.load(Relaxed) {
            true => Ok(None),
            false => self.noise(&self.float.run(inputs)?, inputs).map(Some),
        };
        if batches.len() > first.len() {
            batches.in_parallel(run_batch, add)?;
        }
        let sum = |which: usize| noises.iter().map(|noise: &[f64; 2]| noise[which]).sum::<f64>();
        Ok(!is_rejected.into_inner() && sum(1) < MAX_ERROR_RATIO * sum(0))
    }

    /// The error at the outputs on a batch, with the full range and with the clipped one.
    fn noise(&self, expected: &[Tensor], inputs: &[Tensor]) -> Result<[f64; 2]> {
        let noise = |executor| output_noise(expected, executor, inputs);
        let (full, clipped) = rayon::join(|| noise(self.full), || noise(self.clipped));
        Ok([full?, clipped?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrated::LayerRanges;
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
        clip(&network, &config, &mut ranges, vec![candidate], &mut batches).unwrap();
        ranges.0["fc"].activations[0].scale[0]
    }

    #[test]
    fn a_range_is_clipped_if_the_outputs_do_not_depend_on_the_clipped_values() {
        assert_eq!((chosen_scale("Identity"), chosen_scale("Tanh")), (1.3, 0.04));
    }
}
