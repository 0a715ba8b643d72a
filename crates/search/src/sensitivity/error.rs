//! Sensitivities by the error's energy.

use super::Sensitivity;
use intact8_calibrate::BoxError;

/// The mean of the squared differences, negated. Of layers of different magnitude the louder looks worse.
#[derive(Debug, Clone, Copy, Default)]
pub struct MeanSquaredError;

impl Sensitivity for MeanSquaredError {
    fn similarity(&self, original: &[f32], quantized: &[f32]) -> Result<f64, BoxError> {
        Ok(-noise(original, quantized) / original.len().max(1) as f64)
    }
}

/// The ratio of the original's energy to that of the difference, in decibels, from -200 to 200. Sees a wrong factor,
/// which the cosine does not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sqnr;

impl Sensitivity for Sqnr {
    fn similarity(&self, original: &[f32], quantized: &[f32]) -> Result<f64, BoxError> {
        let signal: f64 = original.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        Ok(decibels(signal, noise(original, quantized)))
    }
}

/// `10·log10(signal / noise)`, held between -200 and 200; 200 where there is no noise.
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
    fn energies() {
        assert_eq!(MeanSquaredError.similarity(&[1.0, 3.0], &[2.0, 1.0]).unwrap(), -2.5);
        assert!((Sqnr.similarity(&[10.0, 0.0], &[9.0, 0.0]).unwrap() - 20.0).abs() < 1e-12);
        assert_eq!(Sqnr.similarity(&[1.0], &[1.0]).unwrap(), 200.0);
        assert_eq!(Sqnr.similarity(&[0.0], &[1.0]).unwrap(), -200.0);
    }
}
