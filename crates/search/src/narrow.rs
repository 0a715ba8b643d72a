//! Ranges that only the network can choose: whether rare values far away matter does not show in the error at a layer,
//! where they are the loudest of all.

use crate::calibrate::each_batch;
use crate::evaluator::Evaluator;
use quantfit_interp::Session;
use quantfit_ir::{DType, Model, Result, Tensor};
use quantfit_quant::{Narrower, QuantConfig, Record, fake_quant};

/// A narrower range is taken if it leaves no more than this part of the error at the network's outputs, and no batch is
/// worse off with it: what is far away may be all that some samples are about.
const WORTH_IT: f64 = 0.7;

/// Puts a narrower range into the record wherever it serves the network better: each is tried with just the layers that
/// read it quantized, so that none depends on another.
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
    let float = outputs(&Session::new(model)?, config, evaluator)?;
    for Narrower { readers, params } in narrower {
        let mut narrowed = record.clone();
        for (layer, operand) in &readers {
            if let Some(entry) = narrowed.layers.get_mut(layer) {
                entry.activations[*operand] = params.clone();
            }
        }
        let is_reader = |layer: &&String| readers.iter().any(|(reader, _)| reader == *layer);
        let others: Vec<String> = config.layers.keys().filter(|layer| !is_reader(layer)).cloned().collect();
        let alone = QuantConfig { tensor_quantize: vec![], ..config.rolled_back(&others) };
        let mut noise = |record: &Record| -> Result<Vec<f64>> {
            let mut quantized = model.clone();
            fake_quant(&alone, record).run(&mut quantized)?;
            noise(&float, &outputs(&Session::new(&quantized)?, config, evaluator)?)
        };
        let (usual, narrow) = (noise(record)?, noise(&narrowed)?);
        let is_never_worse = narrow.iter().zip(&usual).all(|(narrow, usual)| narrow <= usual);
        if is_never_worse && narrow.iter().sum::<f64>() < WORTH_IT * usual.iter().sum::<f64>() {
            *record = narrowed;
        }
    }
    Ok(())
}

/// The outputs of f32, batch by batch.
fn outputs(
    session: &Session,
    config: &QuantConfig,
    evaluator: &mut impl Evaluator,
) -> Result<Vec<Vec<Tensor>>> {
    let mut outputs = Vec::new();
    each_batch(config, evaluator, &mut |inputs| {
        let mut given = session.run(inputs)?;
        given.retain(|tensor| tensor.dtype() == DType::F32);
        outputs.push(given);
        Ok(())
    })?;
    Ok(outputs)
}

/// For each batch, the energy of the difference in relation to that of the float output, summed over the outputs. What
/// can't be compared is not a number, which is never less than another.
fn noise(float: &[Vec<Tensor>], quantized: &[Vec<Tensor>]) -> Result<Vec<f64>> {
    let of_output = |(float, quantized): (&Tensor, &Tensor)| {
        if float.shape() != quantized.shape() {
            return Ok(f64::NAN);
        }
        let (mut signal, mut noise) = (0.0, 0.0);
        for (&a, &b) in float.values::<f32>()?.iter().zip(quantized.values::<f32>()?) {
            signal += f64::from(a).powi(2);
            noise += (f64::from(a) - f64::from(b)).powi(2);
        }
        Ok(noise / f64::max(signal, f64::MIN_POSITIVE))
    };
    let of_batch = |(float, quantized): (&Vec<Tensor>, &Vec<Tensor>)| match float.len() {
        0 => Ok(f64::NAN),
        _ => float.iter().zip(quantized).map(of_output).sum(),
    };
    float.iter().zip(quantized).map(of_batch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluator::{EvaluatorError, Verdict};
    use quantfit_quant::{LayerRecord, QuantParams};

    /// Gives one batch.
    struct Data(Tensor);

    impl Evaluator for Data {
        type Metric = ();

        fn calibration(
            &mut self,
            batch_num: usize,
            forward: &mut dyn FnMut(&[Tensor]) -> Result<()>,
        ) -> Result<(), EvaluatorError> {
            (0..batch_num).try_for_each(|_| forward(std::slice::from_ref(&self.0)).map_err(Into::into))
        }

        fn evaluate(&mut self, _: &Model) -> Result<(), EvaluatorError> {
            Ok(())
        }

        fn metric_eval(&mut self, _: &(), _: &()) -> Result<Verdict, EvaluatorError> {
            Ok(Verdict { satisfied: true, loss: 0.0 })
        }
    }

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
        let mut data = Data(Tensor::new(&[5000, 2], (0..10_000).map(value).collect()));
        let config = QuantConfig::for_model(&model);
        let entry = |scale: f32| LayerRecord {
            activations: vec![QuantParams::per_tensor(scale, 0, 8)],
            weights: vec![QuantParams::per_tensor(1.0 / 127.0, 0, 8)],
            ..LayerRecord::default()
        };
        let mut record = Record { layers: [("fc".to_owned(), entry(1.3))].into() };
        let narrower =
            Narrower { readers: vec![("fc".to_owned(), 0)], params: QuantParams::per_tensor(0.04, 0, 8) };
        narrow(&model, &config, &mut record, vec![narrower], &mut data).unwrap();
        record.layers["fc"].activations[0].scale[0]
    }

    #[test]
    fn what_the_network_does_not_hear_is_clipped() {
        assert_eq!((scale("Identity"), scale("Tanh")), (1.3, 0.04));
    }
}
