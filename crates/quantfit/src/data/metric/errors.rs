//! Metrics of how far outputs are from targets. A difference that is not a number counts as the worst there is.

use super::{Batch, Tally};
use quantfit_ir::Result;

/// Squared differences, the mean of a sample first.
#[derive(Default)]
pub(super) struct MeanError {
    sum: f64,
    n_samples: usize,
}

impl Tally for MeanError {
    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        for (output, targets) in batch.pairs()? {
            self.sum += squared_error(output, targets) / output.len() as f64;
            self.n_samples += 1;
        }
        Ok(())
    }

    fn value(&self) -> f64 {
        self.sum / self.n_samples as f64
    }

    /// Adding what is not negative never makes a sum smaller, nor does rounding it.
    fn range(&self, n_left: usize) -> (f64, f64) {
        (self.sum / (self.n_samples + n_left) as f64, f64::INFINITY)
    }
}

/// Cosines, one a sample.
#[derive(Default)]
pub(super) struct Cosine {
    sum: f64,
    n_samples: usize,
}

impl Tally for Cosine {
    /// Targets of zeros give 1, else an output of zeros gives 0.
    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        for (output, targets) in batch.pairs()? {
            let product = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
            };
            let cosine = match (product(targets, targets), product(output, output)) {
                (0.0, _) => 1.0,
                (_, 0.0) => 0.0,
                (wanted, found) => product(output, targets) / (wanted.sqrt() * found.sqrt()),
            };
            self.sum += if cosine.is_nan() { -1.0 } else { cosine.clamp(-1.0, 1.0) };
            self.n_samples += 1;
        }
        Ok(())
    }

    fn value(&self) -> f64 {
        self.sum / self.n_samples as f64
    }

    /// The rounding of `n` summands of at most 1 is less than `n²` roundings of 1.
    fn range(&self, n_left: usize) -> (f64, f64) {
        let n = (self.n_samples + n_left) as f64;
        let slack = 2.0 * n * f64::EPSILON;
        let left = n_left as f64;
        ((self.sum - left) / n - slack, (self.sum + left) / n + slack)
    }
}

/// Energies of targets and differences, over all samples.
pub(super) struct NoiseRatio {
    /// Whether the range of the targets counts, and not their energy.
    is_to_peak: bool,
    signal: f64,
    noise: f64,
    n_values: usize,
    least: f32,
    greatest: f32,
}

impl NoiseRatio {
    pub(super) fn to_energy() -> NoiseRatio {
        let (least, greatest) = (f32::INFINITY, f32::NEG_INFINITY);
        NoiseRatio { is_to_peak: false, signal: 0.0, noise: 0.0, n_values: 0, least, greatest }
    }

    pub(super) fn to_peak() -> NoiseRatio {
        NoiseRatio { is_to_peak: true, ..NoiseRatio::to_energy() }
    }
}

impl Tally for NoiseRatio {
    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        for (output, targets) in batch.pairs()? {
            self.noise += squared_error(output, targets);
            self.signal += targets.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
            self.n_values += targets.len();
            self.least = targets.iter().copied().fold(self.least, f32::min);
            self.greatest = targets.iter().copied().fold(self.greatest, f32::max);
        }
        Ok(())
    }

    fn value(&self) -> f64 {
        let range = f64::from(self.greatest) - f64::from(self.least);
        let signal = if self.is_to_peak { range * range * self.n_values as f64 } else { self.signal };
        let ratio = 10.0 * (signal / self.noise).log10();
        match self.noise {
            0.0 => 200.0,
            _ if ratio.is_nan() => -200.0,
            _ => ratio.clamp(-200.0, 200.0),
        }
    }
}

fn squared_error(output: &[f32], targets: &[f32]) -> f64 {
    let squared = |(&a, &b): (&f32, &f32)| (f64::from(a) - f64::from(b)).powi(2);
    let sum: f64 = output.iter().zip(targets).map(squared).sum();
    if sum.is_nan() { f64::INFINITY } else { sum }
}
