//! Sensitivity: how close the output of a quantized layer is to that of the original.

use quantfit_ir::{Error, Result};

/// Compares two outputs of a layer.
pub trait Sensitivity {
    /// The similarity; larger means closer, so an error metric returns its negative. The slices are equally long.
    fn similarity(&self, original: &[f32], quantized: &[f32]) -> f64;
}

/// `0.5 + 0.5·cos(original, quantized)`: 1 for the same direction, 0 for the opposite.
/// An original of zeros gives 1, else a quantized output of zeros gives 0. Blind to a common factor.
#[derive(Debug, Clone, Copy, Default)]
pub struct CosineSimilarity;

impl Sensitivity for CosineSimilarity {
    fn similarity(&self, original: &[f32], quantized: &[f32]) -> f64 {
        let (norm, other) = (dot(original, original), dot(quantized, quantized));
        if norm == 0.0 {
            return 1.0;
        }
        if other == 0.0 {
            return 0.0;
        }
        0.5 + 0.5 * dot(original, quantized) / (norm.sqrt() * other.sqrt())
    }
}

/// The sensitivity of that name: `cosine`, or `CosineSimilarity` as the original tool calls it.
pub fn sensitivity_named(name: &str) -> Result<&'static dyn Sensitivity> {
    match name {
        "cosine" | "CosineSimilarity" => Ok(&CosineSimilarity),
        _ => Err(Error::invalid_config(format!("there is no sensitivity {name:?}; use \"cosine\""))),
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
    fn the_edge_cases_of_cosine() {
        let cosine = |a: &[f32], b: &[f32]| CosineSimilarity.similarity(a, b);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 2.0]), 1.0);
        assert_eq!(cosine(&[1.0, 2.0], &[0.0, 0.0]), 0.0);
        assert!(cosine(&[1.0, 2.0], &[-1.0, -2.0]) < 1e-15);
        assert!((cosine(&[1.0; 19], &[7.0; 19]) - 1.0).abs() < 1e-15);
        assert!((cosine(&[1.0, 0.0], &[0.0, 1.0]) - 0.5).abs() < 1e-15);
    }
}
