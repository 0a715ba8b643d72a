//! Metrics of the distance between outputs and targets. A difference that is NaN counts as the worst possible one.

use super::mean::Mean;
use super::{Batch, Tally, TallySamples};
use intact8_ir::Result;

/// The mean squared difference: the mean over samples of the mean over the values of a sample.
#[derive(Default)]
pub(super) struct MeanError(Mean);

impl Tally for MeanError {
    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        for (output, targets) in batch.pairs()? {
            self.0.add(squared_error(output, targets) / output.len() as f64);
        }
        Ok(())
    }

    fn samples(&self) -> Option<TallySamples> {
        Some(TallySamples::Means(self.0.contributions.clone()))
    }

    fn add_samples(&mut self, samples: TallySamples) -> Result<()> {
        let TallySamples::Means(contributions) = samples else { return Err(TallySamples::other_metric()) };
        contributions.into_iter().for_each(|contribution| self.0.add(contribution));
        Ok(())
    }

    fn n(&self) -> usize {
        self.0.n()
    }

    fn value_of(&self, is_counted: &dyn Fn(usize) -> bool) -> f64 {
        self.0.value_of(is_counted)
    }

    fn contributions(&self) -> Option<&[f64]> {
        Some(&self.0.contributions)
    }

    fn sort(&mut self, order: &[usize]) {
        self.0.sort(order);
    }

    /// Further contributions are not negative, so the sum can't get smaller, except by rounding in another order.
    fn range(&self, n_left: usize) -> (f64, f64) {
        let n = (self.n() + n_left) as f64;
        (self.0.sum * (1.0 - 2.0 * n * f64::EPSILON) / n, f64::INFINITY)
    }
}

/// The mean of the cosines of the samples.
#[derive(Default)]
pub(super) struct Cosine(Mean);

impl Tally for Cosine {
    /// The similarity is 1 for a target of zeros; otherwise 0 for an output of zeros.
    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        for (output, targets) in batch.pairs()? {
            let product = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
            };
            let cosine = match (product(targets, targets), product(output, output)) {
                (0.0, _) => 1.0,
                (_, 0.0) => 0.0,
                (expected, found) => product(output, targets) / (expected.sqrt() * found.sqrt()),
            };
            self.0.add(if cosine.is_nan() { -1.0 } else { cosine.clamp(-1.0, 1.0) });
        }
        Ok(())
    }

    fn samples(&self) -> Option<TallySamples> {
        Some(TallySamples::Means(self.0.contributions.clone()))
    }

    fn add_samples(&mut self, samples: TallySamples) -> Result<()> {
        let TallySamples::Means(contributions) = samples else { return Err(TallySamples::other_metric()) };
        contributions.into_iter().for_each(|contribution| self.0.add(contribution));
        Ok(())
    }

    fn n(&self) -> usize {
        self.0.n()
    }

    fn value_of(&self, is_counted: &dyn Fn(usize) -> bool) -> f64 {
        self.0.value_of(is_counted)
    }

    fn contributions(&self) -> Option<&[f64]> {
        Some(&self.0.contributions)
    }

    fn sort(&mut self, order: &[usize]) {
        self.0.sort(order);
    }

    /// The rounding error of a sum of `n` summands of at most 1 is less than `n²` times that of 1.
    fn range(&self, n_left: usize) -> (f64, f64) {
        let n = (self.n() + n_left) as f64;
        let slack = 2.0 * n * f64::EPSILON;
        let left = n_left as f64;
        ((self.0.sum - left) / n - slack, (self.0.sum + left) / n + slack)
    }
}

/// The ratio of the energy, or the peak, of the targets to the energy of the differences, over all samples, in decibels.
pub(super) struct NoiseRatio {
    /// Whether the range of the targets is used instead of their energy.
    is_to_peak: bool,
    samples: Vec<Energies>,
}

/// The energies of a sample, or of several.
struct Energies {
    signal: f64,
    noise: f64,
    n_values: usize,
    least: f32,
    greatest: f32,
}

impl NoiseRatio {
    pub(super) fn to_energy() -> NoiseRatio {
        NoiseRatio { is_to_peak: false, samples: vec![] }
    }

    pub(super) fn to_peak() -> NoiseRatio {
        NoiseRatio { is_to_peak: true, samples: vec![] }
    }
}

impl Tally for NoiseRatio {
    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        self.samples.extend(batch.pairs()?.map(|(output, targets)| Energies {
            signal: targets.iter().map(|&x| f64::from(x) * f64::from(x)).sum(),
            noise: squared_error(output, targets),
            n_values: targets.len(),
            least: targets.iter().copied().fold(f32::INFINITY, f32::min),
            greatest: targets.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        }));
        Ok(())
    }

    fn samples(&self) -> Option<TallySamples> {
        let energies = |of: &Energies| (of.signal, of.noise, of.n_values as u64, of.least, of.greatest);
        Some(TallySamples::Energies(self.samples.iter().map(energies).collect()))
    }

    fn add_samples(&mut self, samples: TallySamples) -> Result<()> {
        let TallySamples::Energies(samples) = samples else { return Err(TallySamples::other_metric()) };
        self.samples.extend(samples.into_iter().map(|(signal, noise, n_values, least, greatest)| Energies {
            signal,
            noise,
            n_values: n_values as usize,
            least,
            greatest,
        }));
        Ok(())
    }

    fn n(&self) -> usize {
        self.samples.len()
    }

    fn value_of(&self, is_counted: &dyn Fn(usize) -> bool) -> f64 {
        let none = Energies {
            signal: 0.0,
            noise: 0.0,
            n_values: 0,
            least: f32::INFINITY,
            greatest: f32::NEG_INFINITY,
        };
        let counted = self.samples.iter().enumerate().filter(|&(idx, _)| is_counted(idx));
        let all = counted.fold(none, |all, (_, sample)| Energies {
            signal: all.signal + sample.signal,
            noise: all.noise + sample.noise,
            n_values: all.n_values + sample.n_values,
            least: all.least.min(sample.least),
            greatest: all.greatest.max(sample.greatest),
        });
        let range = f64::from(all.greatest) - f64::from(all.least);
        let signal = if self.is_to_peak { range * range * all.n_values as f64 } else { all.signal };
        let ratio = 10.0 * (signal / all.noise).log10();
        match all.noise {
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
