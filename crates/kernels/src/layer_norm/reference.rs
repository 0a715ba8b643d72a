//! The reference of layer normalization: computed in f64 and rounded once.

use super::Normalization;

pub(super) fn layer_norm(normalization: Normalization<'_>, input: &[f32], output: &mut [f32]) {
    let Normalization { scale, bias, epsilon } = normalization;
    for (input, output) in input.chunks_exact(scale.len()).zip(output.chunks_exact_mut(scale.len())) {
        let mean_of = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / input.len() as f64;
        let mean = mean_of(&mut input.iter().map(|x| f64::from(*x)));
        let variance = mean_of(&mut input.iter().map(|x| (f64::from(*x) - mean).powi(2)));
        for (i, (y, x)) in output.iter_mut().zip(input).enumerate() {
            let normal = (f64::from(*x) - mean) / (variance + f64::from(epsilon)).sqrt();
            *y = (normal * f64::from(scale[i]) + bias.map_or(0.0, |bias| f64::from(bias[i]))) as f32;
        }
    }
}
