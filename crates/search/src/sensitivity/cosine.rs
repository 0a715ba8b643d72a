//! The cosine similarity, AMCT's sensitivity.

use super::{ChannelLayout, Sensitivity, Similarity};
use intact8_calibrate::BoxError;

/// `0.5 + 0.5·cos(original, quantized)`, from 0 for opposite to 1 for equal directions.
/// It is 1 if the original is all zeros; otherwise 0 if the quantized output is. A common factor does not change it.
#[derive(Debug, Clone, Copy, Default)]
pub struct CosineSimilarity;

impl Sensitivity for CosineSimilarity {
    fn similarity(&self, original: &[f32], quantized: &[f32]) -> Result<f64, BoxError> {
        Ok(Products::of(original, quantized).similarity())
    }

    fn compare(
        &self,
        original: &[f32],
        quantized: &[f32],
        layout: ChannelLayout,
    ) -> Result<Similarity, BoxError> {
        let row = layout.inner.max(1);
        let mut products = vec![Products::default(); layout.n_channels];
        let rows = original.chunks(row).zip(quantized.chunks(row));
        for (idx, (original, quantized)) in rows.enumerate() {
            products[idx % layout.n_channels].add(Products::of(original, quantized));
        }
        let worst_channel = products.iter().map(|channel| channel.similarity()).fold(1.0, f64::min);
        Ok(Similarity { value: self.similarity(original, quantized)?, worst_channel })
    }
}

/// The three scalar products of which a cosine is computed.
#[derive(Clone, Copy, Default)]
struct Products {
    original: f64,
    quantized: f64,
    mixed: f64,
}

impl Products {
    fn of(original: &[f32], quantized: &[f32]) -> Products {
        Products {
            original: dot(original, original),
            quantized: dot(quantized, quantized),
            mixed: dot(original, quantized),
        }
    }

    fn add(&mut self, other: Products) {
        self.original += other.original;
        self.quantized += other.quantized;
        self.mixed += other.mixed;
    }

    fn similarity(&self) -> f64 {
        match (self.original, self.quantized) {
            (0.0, _) => 1.0,
            (_, 0.0) => 0.0,
            (original, quantized) => 0.5 + 0.5 * self.mixed / (original.sqrt() * quantized.sqrt()),
        }
    }
}

/// The scalar product, in eight interleaved sums.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0f64; 8];
    let (whole_a, rest_a) = a.as_chunks::<8>();
    let (whole_b, rest_b) = b.as_chunks::<8>();
    for (a, b) in whole_a.iter().zip(whole_b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (&a, &b))| *sum += f64::from(a) * f64::from(b));
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_of_zeros_opposite_and_equal_directions() {
        let cosine = |a: &[f32], b: &[f32]| CosineSimilarity.similarity(a, b).unwrap();
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 2.0]), 1.0);
        assert_eq!(cosine(&[1.0, 2.0], &[0.0, 0.0]), 0.0);
        assert!(cosine(&[1.0, 2.0], &[-1.0, -2.0]) < 1e-15);
        assert!((cosine(&[1.0; 19], &[7.0; 19]) - 1.0).abs() < 1e-15);
        assert!((cosine(&[1.0, 0.0], &[0.0, 1.0]) - 0.5).abs() < 1e-15);
    }

    #[test]
    fn an_error_in_a_small_channel_shows_in_the_worst_channel() {
        // Two samples of two channels of two values; the second channel is small and has the opposite sign.
        let original = [900.0, 800.0, 1.0, 2.0, 700.0, 800.0, 2.0, 1.0];
        let quantized = [900.0, 800.0, -1.0, -2.0, 700.0, 800.0, -2.0, -1.0];
        let found = CosineSimilarity
            .compare(&original, &quantized, ChannelLayout { outer: 2, n_channels: 2, inner: 2 })
            .unwrap();
        assert!(found.value > 0.99999 && found.worst_channel < 1e-12);
    }
}
