//! The error that quantization causes at the network's outputs on one batch.

use intact8_ir::{DType, Executor, Result, Tensor};

/// The energy of the difference between the quantized network's outputs and the float ones over the energy of the float ones,
/// summed over the f32 outputs. It is NaN, which is not less than any number, if shapes differ or there is no f32 output.
pub(crate) fn output_noise(float: &[Tensor], quantized: &dyn Executor, inputs: &[Tensor]) -> Result<f64> {
    let quantized = quantized.run(inputs)?;
    let relative_noise = |(float, quantized): (&Tensor, &Tensor)| {
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
        float.iter().zip(&quantized).filter(|(float, _)| float.dtype() == DType::F32).collect();
    if pairs.is_empty() { Ok(f64::NAN) } else { pairs.into_iter().map(relative_noise).sum() }
}
