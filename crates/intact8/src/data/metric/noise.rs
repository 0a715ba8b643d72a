//! The sampling noise of metrics: standard errors because the samples are finite.
//!
//! Wrong labels, and samples of another distribution than the model will meet, are not covered.

use super::Tally;

/// Standard errors of a metric, in the unit of the metric; infinite if there are too few samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// That of the metric.
    pub of_value: f64,
    /// That of its difference from the original's on the same samples, which is usually much smaller, since much of the noise
    /// cancels.
    pub of_difference: f64,
}

/// The number of groups of samples of the jackknife.
const N_GROUPS: usize = 100;

/// The noise of a metric, from tallies of the original and the quantized model over the same samples in the same order.
///
/// If the metric is a mean over samples, these are the standard errors of the mean of the contributions and of the mean of their
/// differences. Otherwise they are those of the jackknife (Quenouille 1956, Tukey 1958): the metric is computed without one group
/// of samples at a time, for both models; the group of a sample is its position modulo 100, or each sample is a group if there
/// are fewer.
pub(crate) fn noise(original: &dyn Tally, quantized: &dyn Tally) -> Noise {
    if let (Some(before), Some(after)) = (original.contributions(), quantized.contributions()) {
        return noise_of_mean(before, after, quantized.is_count());
    }
    let n_groups = quantized.n().min(N_GROUPS);
    if n_groups < 2 {
        return Noise { of_value: f64::INFINITY, of_difference: f64::INFINITY };
    }
    let without = |tally: &dyn Tally, group: usize| tally.value_of(&|sample| sample % n_groups != group);
    let values: Vec<f64> = (0..n_groups).map(|group| without(quantized, group)).collect();
    let differences = values.iter().enumerate().map(|(group, value)| value - without(original, group));
    // The variance of the jackknife is (g-1)²/g times the variance of the values.
    let scale = (n_groups - 1) as f64;
    Noise {
        of_value: scale * error_of_mean(values.iter().copied()),
        of_difference: scale * error_of_mean(differences),
    }
}

/// The noise of a mean, from the contributions of the samples.
pub(crate) fn noise_of_mean(original: &[f64], quantized: &[f64], is_count: bool) -> Noise {
    let differences = quantized.iter().zip(original).map(|(after, before)| after - before);
    // Few samples that are all right, or of which none has changed, do not prove that this holds for all others. So two right and
    // two wrong samples are added (Agresti and Coull 1998), and one that becomes right and one that becomes wrong (Bonett and
    // Price 2012).
    let (values, changes) =
        if is_count { (&[1.0, 1.0, 0.0, 0.0][..], &[1.0, -1.0][..]) } else { (&[][..], &[][..]) };
    Noise {
        of_value: error_of_mean(quantized.iter().chain(values).copied()),
        of_difference: error_of_mean(differences.chain(changes.iter().copied())),
    }
}

/// `√(Σ(x-mean)² / (n·(n-1)))`.
fn error_of_mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let spread: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let error = (spread / (n * (n - 1.0))).sqrt();
    if error.is_nan() { f64::INFINITY } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Batch, metric_named};
    use intact8_ir::Tensor;

    /// The tally of a metric for outputs of one value a sample, or of two classes.
    fn tally(name: &str, outputs: &[f32], labels: &[i64], targets: &[f32]) -> Box<dyn Tally> {
        let n = labels.len();
        let outputs = [Tensor::new(&[n, outputs.len() / n], outputs.to_vec())];
        let mut tally = metric_named(name).unwrap().tally();
        tally
            .add(&Batch {
                labels: labels.into(),
                targets: targets.into(),
                ..Batch::of(&outputs, n, Some(0)).unwrap()
            })
            .unwrap();
        tally
    }

    /// Pseudo-random numbers from -1 to 1.
    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    #[test]
    fn the_standard_error_of_a_mean_is_that_of_textbooks() {
        let targets = [0.0, 0.0, 0.0, 0.0];
        let before = tally("mse", &[1.0, 2.0, 0.0, 1.0], &[0; 4], &targets);
        let after = tally("mse", &[1.0, 2.0, 2.0, 1.0], &[0; 4], &targets);
        // The squared outputs are 1 4 4 1, and the differences are 0 0 4 0.
        let found = noise(&*before, &*after);
        assert!((found.of_value - (9.0f64 / 12.0).sqrt()).abs() < 1e-12, "{found:?}");
        assert!((found.of_difference - 1.0).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn an_unchanged_accuracy_has_a_standard_error() {
        let (outputs, labels) = (numbers(200, 1), [0; 100]);
        let same = tally("top1", &outputs, &labels, &[]);
        let found = noise(&*same, &*same);
        assert!((found.of_difference - (2.0f64 / (102.0 * 101.0)).sqrt()).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn the_jackknife_of_a_mean_is_its_standard_error() {
        struct WithoutContributions(Box<dyn Tally>);
        impl Tally for WithoutContributions {
            fn add(&mut self, _: &Batch<'_>) -> intact8_ir::Result<()> {
                unreachable!("no samples are added")
            }
            fn n(&self) -> usize {
                self.0.n()
            }
            fn value_of(&self, is_counted: &dyn Fn(usize) -> bool) -> f64 {
                self.0.value_of(is_counted)
            }
        }
        let of = |seed| tally("mse", &numbers(60, seed), &[0; 60], &numbers(60, 9));
        let [exact, jackknife] =
            [noise(&*of(1), &*of(2)), noise(&WithoutContributions(of(1)), &WithoutContributions(of(2)))];
        assert!((exact.of_value - jackknife.of_value).abs() < 1e-12, "{exact:?} {jackknife:?}");
        assert!((exact.of_difference - jackknife.of_difference).abs() < 1e-12, "{exact:?} {jackknife:?}");
    }

    /// The metrics of many random data sets have a standard deviation of about the standard error.
    #[test]
    fn standard_errors_agree_with_the_spread_of_random_data_sets() {
        for name in ["top1", "mse", "cosine", "sqnr", "psnr", "auc", "ap", "spearman"] {
            let n = 400;
            let draw = |seed: u64| {
                let width = if ["auc", "ap", "spearman", "mse"].contains(&name) { 1 } else { 2 };
                let (signal, small, other) =
                    (numbers(n * width, seed), numbers(n * width, seed + 1), numbers(n * width, seed + 2));
                let with = |noise: &[f32], size: f32| -> Vec<f32> {
                    signal.iter().zip(noise).map(|(a, b)| a + size * b).collect()
                };
                let label = |sample: usize| match width {
                    1 => i64::from(signal[sample] > 0.0),
                    _ => i64::from(signal[2 * sample + 1] > signal[2 * sample]),
                };
                let labels: Vec<i64> = (0..n).map(label).collect();
                let [before, after] = [with(&small, 0.5), with(&other, 0.7)]
                    .map(|output| tally(name, &output, &labels, &signal));
                (after.value() - before.value(), noise(&*before, &*after).of_difference)
            };
            let drawn: Vec<(f64, f64)> = (0..200).map(|idx| draw(1000 * idx + 17)).collect();
            let mean = |of: &dyn Fn(&(f64, f64)) -> f64| drawn.iter().map(of).sum::<f64>() / 200.0;
            let centre = mean(&|drawn| drawn.0);
            let spread = mean(&|drawn| (drawn.0 - centre).powi(2)).sqrt();
            let standard_error = mean(&|drawn| drawn.1);
            assert!(
                (0.8..1.25).contains(&(standard_error / spread)),
                "{name}: {standard_error} for {spread}"
            );
        }
    }
}
