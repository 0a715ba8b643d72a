//! Clipping by output error: ranges that only the network can choose. Whether rare values far from all others matter does not
//! show in the error at a layer, where they are the loudest of all.

use crate::calibrated::{Calibrated, Ranges};
use crate::data::Batches;
use crate::output_noise::output_noise;
use crate::smoothing::only;
use intact8_ir::{Executor, Model, Pipeline, Result, Runtime, Tensor};
use intact8_quant::calibration::ClippingCandidate;
use intact8_quant::{QuantConfig, Record, fake_quant};
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A narrower range is used if it leaves no more than this part of the error at the network's outputs, and, unless only
/// sentinel values lie outside, no batch is worse off with it: the values far away may be all that some samples are about.
const WORTH_IT: f64 = 0.7;

/// A model and what runs it.
pub(crate) struct Network<'a> {
    pub(crate) model: &'a Model,
    pub(crate) executor: &'a dyn Executor,
    pub(crate) runtime: &'a dyn Runtime,
}

/// Replaces ranges by narrower ones wherever the network's outputs are closer to the float ones for it: each candidate is tried
/// with only the layers quantized that read it, so that none depends on another. Most candidates are worse for one of the
/// first batches already; what is worse for one batch is not tried on further ones.
///
/// A network without outputs of f32, or whose outputs change their shapes, can't tell and keeps the usual ranges.
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
    for ClippingCandidate { readers, params, excludes_sentinels } in candidates {
        let is_reader = |name: &str| readers.iter().any(|(reader, _)| reader == name);
        let of_readers = ranges.0.iter().filter(|(name, _)| is_reader(name));
        let usual = Ranges(of_readers.map(|(name, ranges)| (name.clone(), ranges.clone())).collect());
        let mut narrow = usual.clone();
        for (layer, operand) in &readers {
            if let Some(ranges) = narrow.0.get_mut(layer) {
                ranges.activations[*operand] = params.clone();
            }
        }
        let config = only(config, is_reader);
        let quantized = |ranges: &Ranges| {
            let record: Record = Calibrated { ranges: ranges.clone(), ..Calibrated::default() }.into_record();
            let mut quantized = network.model.clone();
            let passes: Pipeline<'_> = fake_quant(&config, &record);
            passes.run(&mut quantized)?;
            network.runtime.compile(&quantized)
        };
        let (of_usual, of_narrow) = rayon::join(|| quantized(&usual), || quantized(&narrow));
        let (of_usual, of_narrow) = (of_usual?, of_narrow?);
        let comparison = Comparison {
            float: network.executor,
            usual: &*of_usual,
            narrow: &*of_narrow,
            excludes_sentinels,
        };
        if comparison.prefers_narrow(&first, &expected, batches)? {
            ranges.0.extend(narrow.0);
        }
    }
    Ok(())
}

/// The network in float, and with the layers quantized that read one activation: with its usual range and a narrower one.
struct Comparison<'a> {
    float: &'a dyn Executor,
    usual: &'a dyn Executor,
    narrow: &'a dyn Executor,
    excludes_sentinels: bool,
}

impl Comparison<'_> {
    /// Whether the outputs are closer to the float ones with the narrower range; of the first batches, the latter are known.
    fn prefers_narrow(
        &self,
        first: &[Vec<Tensor>],
        expected: &[Vec<Tensor>],
        batches: &mut Batches<'_>,
    ) -> Result<bool> {
        let is_harmless = |[usual, narrow]: [f64; 2]| self.excludes_sentinels || narrow <= usual;
        let (harms, mut of_all) = (AtomicBool::new(false), Vec::new());
        let mut take = |noise: Option<[f64; 2]>| {
            harms.fetch_or(noise.is_some_and(|noise| !is_harmless(noise)), Relaxed);
            of_all.extend(noise);
            Ok(())
        };
        for (expected, inputs) in expected.iter().zip(first) {
            if !harms.load(Relaxed) {
                take(Some(self.noise(expected, inputs)?))?;
            }
        }
        if harms.load(Relaxed) {
            return Ok(false);
        }
        let of_batch = |idx: usize, inputs: &[Tensor]| match idx < first.len() || harms.load(Relaxed) {
            true => Ok(None),
            false => self.noise(&self.float.run(inputs)?, inputs).map(Some),
        };
        if batches.len() > first.len() {
            batches.in_parallel(of_batch, take)?;
        }
        let sum = |which: usize| of_all.iter().map(|noise: &[f64; 2]| noise[which]).sum::<f64>();
        Ok(!harms.into_inner() && sum(1) < WORTH_IT * sum(0))
    }

    /// The error at the outputs on a batch, with the usual range and with the narrower one.
    fn noise(&self, expected: &[Tensor], inputs: &[Tensor]) -> Result<[f64; 2]> {
        let noise = |executor| output_noise(expected, executor, inputs);
        let (usual, narrow) = rayon::join(|| noise(self.usual), || noise(self.narrow));
        Ok([usual?, narrow?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrated::LayerRanges;
    use intact8_interp::Interpreter;
    use intact8_quant::QuantParams;

    /// The scale that is chosen of 1.3 and 0.04, for values up to 4 and a few of 160, with a function after the layer.
    fn scale(after: &str) -> f32 {
        let model: Model = format!(
            "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 0.0, 0.0, 1.0] : f32[2,2]\n\
             %p = MatMul(%x, %w) @fc\n%y = {after}(%p)\nreturn %y\n"
        )
        .parse()
        .unwrap();
        let value = |idx: usize| {
            let usual = (idx as f32 * 0.618_034).fract() * 8.0 - 4.0;
            if idx.is_multiple_of(500) { 160.0 } else { usual }
        };
        let mut data = vec![vec![Tensor::new(&[5000, 2], (0..10_000).map(value).collect())]];
        let config = QuantConfig::for_model(&model);
        let ranges = LayerRanges {
            activations: vec![QuantParams::per_tensor(1.3, 0, 8)],
            weights: vec![QuantParams::per_tensor(1.0 / 127.0, 0, 8)],
        };
        let mut ranges = Ranges([("fc".to_owned(), ranges)].into());
        let narrower = ClippingCandidate {
            readers: vec![("fc".to_owned(), 0)],
            params: QuantParams::per_tensor(0.04, 0, 8),
            excludes_sentinels: false,
        };
        let runtime = Interpreter::default();
        let executor = runtime.session(&model).unwrap();
        let network = Network { model: &model, executor: &executor, runtime: &runtime };
        let mut observer = ();
        let mut batches = Batches::new(&mut data, 1, &mut observer);
        clip(&network, &config, &mut ranges, vec![narrower], &mut batches).unwrap();
        ranges.0["fc"].activations[0].scale[0]
    }

    #[test]
    fn a_range_is_clipped_where_the_outputs_do_not_depend_on_what_lies_outside() {
        assert_eq!((scale("Identity"), scale("Tanh")), (1.3, 0.04));
    }
}
