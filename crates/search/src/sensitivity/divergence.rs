//! The Kullback-Leibler divergence, for outputs that are logits.

use super::{ChannelLayout, Sensitivity, Similarity};
use intact8_calibrate::BoxError;

/// The negated Kullback-Leibler divergence of the quantized from the original distribution, in nats, at most 0. The
/// distributions are the softmax over the channels; the divergence is averaged over all other dimensions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Divergence;

impl Sensitivity for Divergence {
    /// The similarity of all values as one distribution.
    fn similarity(&self, original: &[f32], quantized: &[f32]) -> Result<f64, BoxError> {
        Ok(-divergence(original.iter().copied(), quantized.iter().copied()))
    }

    fn compare(
        &self,
        original: &[f32],
        quantized: &[f32],
        layout: ChannelLayout,
    ) -> Result<Similarity, BoxError> {
        let ChannelLayout { outer, n_channels, inner } = layout;
        let starts = (0..outer).flat_map(|block| (0..inner).map(move |idx| block * n_channels * inner + idx));
        let channels = |values: &[f32], start: usize| {
            values[start.min(values.len())..]
                .iter()
                .copied()
                .step_by(inner.max(1))
                .take(n_channels)
                .collect::<Vec<f32>>()
        };
        let sum: f64 = starts
            .map(|start| {
                divergence(channels(original, start).into_iter(), channels(quantized, start).into_iter())
            })
            .sum();
        Ok(Similarity { value: -sum / (outer * inner).max(1) as f64, worst_channel: 0.0 })
    }
}

/// `Σ p·(ln p - ln q)` with `p` and `q` the softmax of two lists of logits.
fn divergence(
    original: impl Iterator<Item = f32> + Clone,
    quantized: impl Iterator<Item = f32> + Clone,
) -> f64 {
    let (original_sum, quantized_sum) = (log_sum(original.clone()), log_sum(quantized.clone()));
    let term = |(a, b): (f32, f32)| {
        let (log_p, log_q) = (f64::from(a) - original_sum, f64::from(b) - quantized_sum);
        log_p.exp() * (log_p - log_q)
    };
    // Never negative except by rounding; adding zero makes a negative zero positive.
    original.zip(quantized).map(term).sum::<f64>().max(0.0) + 0.0
}

/// `ln Σ exp x`, computed relative to the greatest logit so that nothing overflows.
fn log_sum(logits: impl Iterator<Item = f32> + Clone) -> f64 {
    let greatest = f64::from(logits.clone().fold(f32::NEG_INFINITY, f32::max));
    greatest + logits.map(|x| (f64::from(x) - greatest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_softmax_is_over_the_channels_of_each_row() {
        // Adding a constant to a row does not change its softmax.
        let layout = ChannelLayout { outer: 2, n_channels: 2, inner: 1 };
        let found = Divergence.compare(&[0.0, 1.0, 5.0, 5.0], &[2.0, 3.0, 1.0, 1.0], layout).unwrap();
        assert!(found.value.abs() < 1e-15);
        // p = (1/2, 1/2), q = (1/3, 2/3).
        let found = Divergence.similarity(&[0.0, 0.0], &[0.0, 2f32.ln()]).unwrap();
        assert!((found + 0.5 * (9.0f64 / 8.0).ln()).abs() < 1e-7, "{found}");
    }
}
