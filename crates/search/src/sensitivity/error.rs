//! Sensitivities by the energy of the error: mean squared error and SQNR.

use super::Sensitivity;
use intact8_calibrate::BoxError;

/// The negated mean squared difference, at most 0. It depends on the magnitude of the output: of layers with the same relative
/// error, the one with larger values looks more sensitive.
#[derive(Debug, Clone, Copy, Default)]
pub struct MeanSquaredError;

impl Sensitivity for MeanSquaredError {
    fn similarity(&self, original: &[f32], quantized: &[f32]) -> Result<f64, BoxError> {
        Ok(-noise(original, quantized) / original.len().max(1) as f64)
    }
}

/// The signal-to-quantization-noise ratio: the energy of the original over that of the difference, in decibels, from -200 to
/// 200. Unlike the cosine it depends on a common factor.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sqnr;

impl Sensitivity for Sqnr {
    fn similarity(&self, original: &[f32], quantized: &[f32]) -> Result<f64, BoxError> {
        let signal: f64 = original.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        Ok(decibels(signal, noise(original, quantized)))
    }

    /// The energy of the difference over that of the original.
    fn error(&self, similarity: f64) -> f64 {
        10f64.powf(-similarity / 10.0)
    }
}

/// `10·log10(signal / noise)`, clamped to -200 … 200; 200 if the noise is 0.
pub fn decibels(signal: f64, noise: f64) -> f64 {
    if noise == 0.0 { 200.0 } else { (10.0 * (signal / noise).log10()).clamp(-200.0, 200.0) }
}

fn noise(original: &[f32], quantized: &[f32]) -> f64 {
    let differences = original.iter().zip(quantized).map(|(&a, &b)| f64::from(a) - f64::from(b));
    differences.map(|difference| difference * difference).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_squared_error_and_sqnr_of_known_differences() {
        assert_eq!(MeanSquaredError.similarity(&[1.0, 3.0], &[2.0, 1.0]).unwrap(), -2.5);
        assert!((Sqnr.similarity(&[10.0, 0.0], &[9.0, 0.0]).unwrap() - 20.0).abs() < 1e-12);
        assert_eq!(Sqnr.similarity(&[1.0], &[1.0]).unwrap(), 200.0);
        assert_eq!(Sqnr.similarity(&[0.0], &[1.0]).unwrap(), -200.0);
        assert_eq!([MeanSquaredError.error(-2.5), Sqnr.error(20.0)], [2.5, 0.01]);
    }
}
