//! Ranges that only the network can choose: whether rare values far away matter does not show in the error at a layer,
//! where they are the loudest of all.

use crate::balance::alone;
use crate::batches::{each_batch_at_once, first_batches};
use crate::evaluator::Evaluator;
use crate::output_noise::output_noise;
use intact8_interp::{Interpreter, Session};
use intact8_ir::{Model, Result, Tensor};
use intact8_quant::calibration::ClippingCandidate;
use intact8_quant::{QuantConfig, Record, fake_quant};
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A narrower range is taken if it leaves no more than this part of the error at the network's outputs, and, unless just
/// codes lie outside, no batch is worse off with it: what is far away may be all that some samples are about.
const WORTH_IT: f64 = 0.7;

/// Puts a narrower range into the record wherever it serves the network better: each is tried with just the layers that
/// read it quantized, so that none depends on another. Most are worse for one of the first batches already; what is worse
/// for one batch is not tried on further ones.
///
/// A network without outputs of f32, or whose outputs change their shapes, can't tell and keeps the usual ranges.
pub(crate) fn narrow(
    model: &Model,
    config: &QuantConfig,
    record: &mut Record,
    narrower: Vec<ClippingCandidate>,
    evaluator: &mut impl Evaluator,
) -> Result<()> {
    if narrower.is_empty() {
        return Ok(());
    }
    let interpreter = Interpreter::default();
    let float = interpreter.session(model)?;
    let first = first_batches(config, evaluator)?;
    let expected: Vec<Vec<Tensor>> =
        first.par_iter().map(|inputs| float.run(inputs)).collect::<Result<_>>()?;
    for ClippingCandidate { readers, params, excludes_sentinels } in narrower {
        let mut narrowed = record.clone();
        for (layer, operand) in &readers {
            if let Some(entry) = narrowed.layers.get_mut(layer) {
                entry.activations[*operand] = params.clone();
            }
        }
        let config_of_readers = alone(config, |layer| readers.iter().any(|(reader, _)| reader == layer));
        let quantized = |record: &Record| {
            let mut quantized = model.clone();
            fake_quant(&config_of_readers, record).run(&mut quantized)?;
            interpreter.session(&quantized)
        };
        let (usual, narrow) = rayon::join(|| quantized(record), || quantized(&narrowed));
        let comparison = Comparison { float: &float, usual: usual?, narrow: narrow?, excludes_sentinels };
        if comparison.is_better(&first, &expected, config, evaluator)? {
            *record = narrowed;
        }
    }
    Ok(())
}

/// The network in float, and with the layers quantized that read one activation, with its usual range and a narrower one.
struct Comparison<'a> {
    float: &'a Session,
    usual: Session,
    narrow: Session,
    excludes_sentinels: bool,
}

impl Comparison<'_> {
    /// Whether the narrower range serves the network better; of the first batches, the float outputs are known.
    fn is_better(
        &self,
        first: &[Vec<Tensor>],
        expected: &[Vec<Tensor>],
        config: &QuantConfig,
        evaluator: &mut impl Evaluator,
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
        each_batch_at_once(config, evaluator, of_batch, take)?;
        let sum = |which: usize| of_all.iter().map(|noise: &[f64; 2]| noise[which]).sum::<f64>();
        Ok(!harms.into_inner() && sum(1) < WORTH_IT * sum(0))
    }

    /// What is off at the outputs on a batch, with the usual range and with the narrower one.
    fn noise(&self, expected: &[Tensor], inputs: &[Tensor]) -> Result<[f64; 2]> {
        let noise = |session| output_noise(expected, session, inputs);
        let (usual, narrow) = rayon::join(|| noise(&self.usual), || noise(&self.narrow));
        Ok([usual?, narrow?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluator::Batches;
    use intact8_ir::Tensor;
    use intact8_quant::{LayerRecord, QuantParams};

    /// The scale that is taken of 1.3 and 0.04, for values up to 4 and a few of 160, with a function behind the layer.
    fn scale(behind: &str) -> f32 {
        let model: Model = format!(
            "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 0.0, 0.0, 1.0] : f32[2,2]\n\
             %p = MatMul(%x, %w) @fc\n%y = {behind}(%p)\nreturn %y\n"
        )
        .parse()
        .unwrap();
        let value = |idx: usize| {
            let usual = (idx as f32 * 0.618_034).fract() * 8.0 - 4.0;
            if idx.is_multiple_of(500) { 160.0 } else { usual }
        };
        let mut data = Batches(vec![Tensor::new(&[5000, 2], (0..10_000).map(value).collect())]);
        let config = QuantConfig::for_model(&model);
        let entry = |scale: f32| LayerRecord {
            activations: vec![QuantParams::per_tensor(scale, 0, 8)],
            weights: vec![QuantParams::per_tensor(1.0 / 127.0, 0, 8)],
            ..LayerRecord::default()
        };
        let mut record = Record { layers: [("fc".to_owned(), entry(1.3))].into() };
        let narrower = ClippingCandidate {
            readers: vec![("fc".to_owned(), 0)],
            params: QuantParams::per_tensor(0.04, 0, 8),
            excludes_sentinels: false,
        };
        narrow(&model, &config, &mut record, vec![narrower], &mut data).unwrap();
        record.layers["fc"].activations[0].scale[0]
    }

    #[test]
    fn what_the_network_does_not_hear_is_clipped() {
        assert_eq!((scale("Identity"), scale("Tanh")), (1.3, 0.04));
    }
}
