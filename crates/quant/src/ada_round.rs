//! AdaRound: the rounding of each element of a weight, learned from inputs and outputs of the layer. It runs nothing.
//!
//! Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization" (2020), with the parameters of AMCT:
//! `q = clip(floor(w / s) + h, qmin, qmax)`, where `h = clip(1.2 * sigmoid(a) - 0.1, 0, 1)`, and Adam finds the `a` that
//! minimize the squared error after the activation function, summed over channels and averaged over rows, plus
//! `reg_param * sum(1 - |2h - 1|^beta)`.

mod descent;

use crate::config::AdaRound;
use crate::rounding::{Rounding, n_fitted, product};
use descent::Descent;
use intact8_kernels::gemm::Init;
use std::ops::Range;

/// How many elements of a weight are learned together, if they are several channels: the state of their descent takes 160 MiB.
const N_ELEMENTS: usize = 1 << 22;

/// The greatest number of bytes that [`Rounding::learn`] allocates for a weight of `n_out` channels of `depth` elements and so many
/// rows; its result included.
pub fn learn_bytes(n_out: usize, depth: usize, n_rows: usize) -> usize {
    let channels = channels_at_once(depth).min(n_out);
    // Of an element: scale, floor, soft rounding with two moments, change, gradient, and twice the weight with its rounding.
    40 * channels * depth + 4 * n_rows * (depth + 5 * channels) + 3 * n_out * depth
}

/// How many channels of that length are learned together.
fn channels_at_once(depth: usize) -> usize {
    (N_ELEMENTS / depth.max(1)).max(1)
}

/// Inputs and outputs of a layer, as rows.
#[derive(Debug, Clone, Copy)]
pub struct Examples<'a> {
    /// The inputs, `[n, k]`.
    pub inputs: &'a [f32],
    /// The outputs of the float layer, bias included, before the activation function, `[n, out]`.
    pub outputs: &'a [f32],
    /// The function that follows the layer.
    pub activation: ActivationFunction,
}

/// A function of single elements that may follow a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ActivationFunction {
    /// None.
    Identity,
    /// Clip: between the two. Relu goes up to infinity, Relu6 to 6.
    Clip(f32, f32),
    /// LeakyRelu with that slope below 0.
    LeakyRelu(f32),
}

impl ActivationFunction {
    fn of(self, x: f32) -> f32 {
        match self {
            ActivationFunction::Identity => x,
            ActivationFunction::Clip(min, max) => x.max(min).min(max),
            ActivationFunction::LeakyRelu(slope) => {
                if x < 0.0 {
                    slope * x
                } else {
                    x
                }
            }
        }
    }

    fn derivative(self, x: f32) -> f32 {
        match self {
            ActivationFunction::Clip(min, max) if x < min || x > max => 0.0,
            ActivationFunction::LeakyRelu(slope) if x < 0.0 => slope,
            _ => 1.0,
        }
    }
}

impl Rounding<'_> {
    /// For each element of the weight, whether it is rounded up.
    ///
    /// It learns on the first three quarters of the rows. An output channel whose error on the last quarter is not smaller than
    /// with rounding to nearest is rounded to nearest: few rows and many weights overfit.
    pub fn learn(&self, examples: &Examples<'_>, config: &AdaRound) -> Vec<bool> {
        let (k, n_out) = (self.depth(), self.scale.len());
        let at_once = channels_at_once(k);
        let learned = (0..n_out).step_by(at_once).flat_map(|first| {
            let channels = first..(first + at_once).min(n_out);
            let rows = examples.outputs.chunks_exact(n_out);
            let outputs: Vec<f32> = rows.flat_map(|row| &row[channels.clone()]).copied().collect();
            let weight = &self.weight[channels.start * k..channels.end * k];
            let part = Rounding { weight, scale: &self.scale[channels], ..*self };
            part.learn_at_once(&Examples { outputs: &outputs, ..*examples }, config)
        });
        learned.collect()
    }

    /// The same, with all channels in memory.
    fn learn_at_once(&self, examples: &Examples<'_>, config: &AdaRound) -> Vec<bool> {
        let n_rows = examples.outputs.len() / self.scale.len();
        let n_seen = n_fitted(n_rows);
        let (seen, unseen) = (self.some(examples, 0..n_seen), self.some(examples, n_seen..n_rows));
        let nearest = self.nearest();
        let mut up = Descent::new(self, &seen).run(config);
        let k = self.depth();
        let errors = self.errors(&unseen, &up).into_iter().zip(self.errors(&unseen, &nearest));
        for (channel, _) in errors.enumerate().filter(|(_, (learned, of_nearest))| learned >= of_nearest) {
            up[channel * k..][..k].copy_from_slice(&nearest[channel * k..][..k]);
        }
        up
    }

    /// The mean squared error of each output channel after the activation function.
    pub fn errors(&self, examples: &Examples<'_>, up: &[bool]) -> Vec<f64> {
        let n_out = self.scale.len();
        let n_rows = examples.outputs.len() / n_out;
        let change: Vec<f32> = self.values(up).iter().zip(self.weight).map(|(found, w)| found - w).collect();
        let mut outputs = examples.outputs.to_vec();
        product(examples.inputs, &change, Init::Accumulate, &mut outputs, [n_rows, self.depth(), n_out]);
        let mut errors = vec![0.0; n_out];
        for (idx, (&found, &expected)) in outputs.iter().zip(examples.outputs).enumerate() {
            let error = examples.activation.of(found) - examples.activation.of(expected);
            errors[idx % n_out] += f64::from(error).powi(2);
        }
        errors.iter_mut().for_each(|error| *error /= n_rows.max(1) as f64);
        errors
    }

    /// Some of the rows.
    fn some<'a>(&self, examples: &Examples<'a>, rows: Range<usize>) -> Examples<'a> {
        let (k, n_out) = (self.depth(), self.scale.len());
        Examples {
            inputs: &examples.inputs[rows.start * k..rows.end * k],
            outputs: &examples.outputs[rows.start * n_out..rows.end * n_out],
            ..*examples
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_kernels::gemm::{Left, Right, gemm};
    use intact8_kernels::matrix::{Matrix, MatrixMut};

    const N: usize = 512;
    const K: usize = 32;
    const OUT: usize = 8;

    /// Numbers between -1 and 1.
    fn numbers(n: usize, mut state: u64) -> Vec<f32> {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    /// Correlated inputs, so that rounding errors can compensate each other; a weight; and the outputs.
    fn layer(n: usize) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let (sources, mix, noise) = (numbers(n * 4, 1), numbers(4 * K, 2), numbers(n * K, 3));
        let mut inputs: Vec<f32> = noise.iter().map(|noise| 0.1 * noise).collect();
        gemm(
            Left::Plain(Matrix::row_major(&sources, n, 4)),
            Right::Plain(Matrix::row_major(&mix, 4, K)),
            Init::Accumulate,
            MatrixMut::row_major(&mut inputs, n, K),
        );
        let weight = numbers(OUT * K, 4);
        let mut outputs = vec![0.0; n * OUT];
        product(&inputs, &weight, Init::Zero, &mut outputs, [n, K, OUT]);
        (inputs, weight, outputs)
    }

    fn config(num_iteration: usize) -> AdaRound {
        AdaRound { num_iteration, ..AdaRound::default() }
    }

    #[test]
    fn the_error_is_less_than_that_of_rounding_to_nearest() {
        let (inputs, weight, outputs) = layer(2 * N);
        for activation in [
            ActivationFunction::Identity,
            ActivationFunction::Clip(0.0, 6.0),
            ActivationFunction::LeakyRelu(0.1),
        ] {
            for scale in [1.0 / 7.0, 1.0 / 31.0] {
                let scales = [scale; OUT];
                let all = Examples { inputs: &inputs, outputs: &outputs, activation };
                let rounding = Rounding { weight: &weight, scale: &scales, bits: 6 };
                let (seen, unseen) = (rounding.some(&all, 0..N), rounding.some(&all, N..2 * N));
                let up = rounding.learn(&seen, &config(1000));
                let of = |rows: &Examples<'_>, up: &[bool]| rounding.errors(rows, up).iter().sum::<f64>();
                let nearest = rounding.nearest();
                let ratio = [seen, unseen].map(|rows| of(&rows, &up) / of(&rows, &nearest));
                assert!(ratio.iter().all(|ratio| *ratio < 0.8), "{activation:?} {scale}: {ratio:?}");
                for (value, w) in rounding.values(&up).iter().zip(&weight) {
                    let (found, steps) = ((value / scale).round(), w / scale);
                    assert!((found - steps.floor()) * (found - steps.ceil()) == 0.0, "{found} for {steps}");
                }
                assert_eq!(rounding.learn(&seen, &config(1000)), up);
            }
        }
    }

    #[test]
    fn an_overfitted_channel_is_rounded_to_nearest() {
        // Noise, and hardly more rows than weights: what is learned holds for these rows alone.
        let (inputs, weight, scale) = (numbers(40 * 4 * K, 5), numbers(OUT * 4 * K, 6), [1.0 / 7.0; OUT]);
        let mut outputs = vec![0.0; 40 * OUT];
        product(&inputs, &weight, Init::Zero, &mut outputs, [40, 4 * K, OUT]);
        let all = Examples { inputs: &inputs, outputs: &outputs, activation: ActivationFunction::Identity };
        let rounding = Rounding { weight: &weight, scale: &scale, bits: 6 };
        let up = rounding.learn(&all, &config(300));
        let unseen = rounding.some(&all, 30..40);
        let of = |up: &[bool]| rounding.errors(&unseen, up);
        assert!(of(&up).iter().zip(of(&rounding.nearest())).all(|(learned, nearest)| *learned <= nearest));
    }

    #[test]
    fn weights_beyond_the_range_stay_clipped() {
        let examples =
            Examples { inputs: &[1.0; 12], outputs: &[0.0; 4], activation: ActivationFunction::Identity };
        let rounding = Rounding { weight: &[40.5, -40.5, 31.0], scale: &[1.0], bits: 6 };
        assert_eq!(rounding.values(&rounding.learn(&examples, &config(10))), [31.0, -32.0, 31.0]);
        assert_eq!(rounding.values(&[true; 3]), [31.0, -32.0, 31.0]);
    }
}
