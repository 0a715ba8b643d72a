//! Ranges that only the network can choose: whether rare values far away matter does not show in the error at a layer,
//! where they are the loudest of all.

use crate::batches::{each_batch_at_once, first_batches};
use crate::evaluator::Evaluator;
use crate::output_noise::output_noise;
use quantfit_interp::Session;
use quantfit_ir::{Model, Result, Tensor};
use quantfit_quant::{Narrower, QuantConfig, Record, fake_quant};
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
    narrower: Vec<Narrower>,
    evaluator: &mut impl Evaluator,
) -> Result<()> {
    if narrower.is_empty() {
        return Ok(());
    }
    let float = Session::new(model)?;
    let first = first_batches(config, evaluator)?;
    let expected: Vec<Vec<Tensor>> =
        first.par_iter().map(|inputs| float.run(inputs)).collect::<Result<_>>()?;
    for Narrower { readers, params, is_coded } in narrower {
        let mut narrowed = record.clone();
        for (layer, operand) in &readers {
            if let Some(entry) = narrowed.layers.get_mut(layer) {
                entry.activations[*operand] = params.clone();
            }
        }
        let is_reader = |layer: &&String| readers.iter().any(|(reader, _)| reader == *layer);
        let others: Vec<String> = config.layers.keys().filter(|layer| !is_reader(layer)).cloned().collect();
        let alone = QuantConfig { tensor_quantize: vec![], ..config.rolled_back(&others) };
        let quantized = |record: &Record| {
            let mut quantized = model.clone();
            fake_quant(&alone, record).run(&mut quantized)?;
            Session::new(&quantized)
        };
        let (usual, narrow) = rayon::join(|| quantized(record), || quantized(&narrowed));
        let (usual, narrow) = (usual?, narrow?);
        let noise = |expected: &[Tensor], inputs: &[Tensor]| -> Result<[f64; 2]> {
            let noise = |session| output_noise(expected, session, inputs);
            let (usual, narrow) = rayon::join(|| noise(&usual), || noise(&narrow));
            Ok([usual?, narrow?])
        };
        let is_harmless = |[usual, narrow]: [f64; 2]| is_coded || narrow <= usual;
        let mut of_all: Vec<[f64; 2]> = Vec::new();
        for (expected, inputs) in expected.iter().zip(&first) {
            if of_all.iter().copied().all(is_harmless) {
                of_all.push(noise(expected, inputs)?);
            }
        }
        let harms = AtomicBool::new(!of_all.iter().copied().all(is_harmless));
        if harms.load(Relaxed) {
            continue;
        }
        each_batch_at_once(
            config,
            evaluator,
            |idx, inputs| match idx < first.len() || harms.load(Relaxed) {
                true => Ok(None),
                false => noise(&float.run(inputs)?, inputs).map(Some),
            },
            |noise| {
                harms.fetch_or(noise.is_some_and(|noise| !is_harmless(noise)), Relaxed);
                of_all.extend(noise);
                Ok(())
            },
        )?;
        let sum = |which: usize| of_all.iter().map(|noise| noise[which]).sum::<f64>();
        if !harms.into_inner() && sum(1) < WORTH_IT * sum(0) {
            *record = narrowed;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluator::Batches;
    use quantfit_ir::Tensor;
    use quantfit_quant::{LayerRecord, QuantParams};

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
        let narrower = Narrower {
            readers: vec![("fc".to_owned(), 0)],
            params: QuantParams::per_tensor(0.04, 0, 8),
            is_coded: false,
        };
        narrow(&model, &config, &mut record, vec![narrower], &mut data).unwrap();
        record.layers["fc"].activations[0].scale[0]
    }

    #[test]
    fn what_the_network_does_not_hear_is_clipped() {
        assert_eq!((scale("Identity"), scale("Tanh")), (1.3, 0.04));
    }
}
