//! The error that quantization causes at the network's outputs on one batch.

use intact8_ir::{Executor, Result, Tensor};

/// The energy of the difference between the quantized network's outputs and the float ones over the energy of the float ones,
/// summed over the float outputs. It is NaN, which is not less than any number, if shapes differ or there is no float output.
pub(crate) fn output_noise(float: &[Tensor], quantized: &dyn Executor, inputs: &[Tensor]) -> Result<f64> {
    let quantized = quantized.run(inputs)?;
    let relative_noise = |(float, quantized): (&Tensor, &Tensor)| {
        if float.shape() != quantized.shape() {
            return f64::NAN;
        }
        let (mut signal, mut noise) = (0.0, 0.0);
        let [Some(float), Some(quantized)] = [float, quantized].map(Tensor::floats) else { return f64::NAN };
        for (&a, &b) in float.iter().zip(&*quantized) {
            signal += f64::from(a).powi(2);
            noise += (f64::from(a) - f64::from(b)).powi(2);
        }
        noise / f64::max(signal, f64::MIN_POSITIVE)
    };
    let pairs: Vec<(&Tensor, &Tensor)> =
        float.iter().zip(&quantized).filter(|(float, _)| float.dtype().is_wide_float()).collect();
    Ok(if pairs.is_empty() { f64::NAN } else { pairs.into_iter().map(relative_noise).sum() })
}
