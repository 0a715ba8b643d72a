//! What quantization does to the network's outputs on the calibration data.

use crate::calibrate::each_batch;
use crate::evaluator::Evaluator;
use quantfit_interp::Session;
use quantfit_ir::{DType, Result, Tensor};
use quantfit_quant::QuantConfig;

/// For each quantized network and each batch, the energy of the difference in relation to that of the float output,
/// summed over the outputs of f32. What can't be compared is not a number, which is never less than another.
///
/// The networks run side by side, so no output is kept for longer than its batch.
pub(crate) fn output_noise<const N: usize>(
    float: &Session,
    quantized: [&Session; N],
    config: &QuantConfig,
    evaluator: &mut impl Evaluator,
) -> Result<[Vec<f64>; N]> {
    let mut noise = [const { Vec::new() }; N];
    each_batch(config, evaluator, &mut |inputs| {
        let expected = float.run(inputs)?;
        for (session, noise) in quantized.iter().zip(&mut noise) {
            noise.push(difference(&expected, &session.run(inputs)?)?);
        }
        Ok(())
    })?;
    Ok(noise)
}

fn difference(float: &[Tensor], quantized: &[Tensor]) -> Result<f64> {
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
    let pairs: Vec<(&Tensor, &Tensor)> =
        float.iter().zip(quantized).filter(|(float, _)| float.dtype() == DType::F32).collect();
    if pairs.is_empty() { Ok(f64::NAN) } else { pairs.into_iter().map(of_output).sum() }
}
