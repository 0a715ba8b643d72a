//! AdaRound: which elements of a weight are rounded up, learned from what the layer reads and gives. It runs nothing.
//!
//! Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization" (2020), with the parameters of AMCT:
//! `q = clip(floor(w / s) + h, qmin, qmax)`, where `h = clip(1.2 * sigmoid(a) - 0.1, 0, 1)`, and Adam finds the `a` that
//! minimize the squared error behind the activation, summed over channels and averaged over rows, plus
//! `reg_param * sum(1 - |2h - 1|^beta)`.

mod descent;

use crate::config::AdaRound;
use crate::params::{QuantParams, round_half_even};
use descent::Descent;
use quantfit_kernels::gemm::{Init, Left, Right, gemm};
use quantfit_kernels::matrix::{Matrix, MatrixMut};
use std::ops::Range;

/// A layer as a product of matrices: what it reads and what it gives, row by row.
#[derive(Debug, Clone, Copy)]
pub struct Rounding<'a> {
    /// What the layer reads, `[n, k]`.
    pub inputs: &'a [f32],
    /// What the float layer gives for it, bias included, before the activation, `[n, out]`.
    pub outputs: &'a [f32],
    /// The weight, `[out, k]`.
    pub weight: &'a [f32],
    /// The step between two integers for each of the outputs: their number is `out`, and not 0.
    pub scale: &'a [f32],
    /// The width of the integers.
    pub bits: u8,
    /// What follows the layer.
    pub activation: Activation,
}

/// A function of single elements that may follow a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// None.
    Identity,
    /// Clip: between the two. Relu goes up to infinity, Relu6 to 6.
    Clip(f32, f32),
    /// LeakyRelu with that slope below 0.
    LeakyRelu(f32),
}

impl Activation {
    fn of(self, x: f32) -> f32 {
        match self {
            Activation::Identity => x,
            Activation::Clip(min, max) => x.max(min).min(max),
            Activation::LeakyRelu(slope) => {
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
            Activation::Clip(min, max) if x < min || x > max => 0.0,
            Activation::LeakyRelu(slope) if x < 0.0 => slope,
            _ => 1.0,
        }
    }
}

impl Rounding<'_> {
    /// For each element of the weight, whether it is rounded up.
    ///
    /// It learns on the first three quarters of the rows. An output channel that what was learned does not serve better on
    /// the others is rounded to nearest: few rows and many weights fit each other too well.
    pub fn learn(&self, config: &AdaRound) -> Vec<bool> {
        let n_rows = self.n_rows();
        let (seen, unseen) = (self.rows(0..n_rows - n_rows / 4), self.rows(n_rows - n_rows / 4..n_rows));
        let nearest = self.nearest();
        let mut up = Descent::new(&seen).run(config);
        let k = self.depth();
        let errors = unseen.errors(&up).into_iter().zip(unseen.errors(&nearest));
        for (channel, _) in errors.enumerate().filter(|(_, (learned, of_nearest))| learned >= of_nearest) {
            up[channel * k..][..k].copy_from_slice(&nearest[channel * k..][..k]);
        }
        up
    }

    /// The same layer with some of the rows.
    fn rows(&self, rows: Range<usize>) -> Rounding<'_> {
        let (k, n_out) = (self.depth(), self.scale.len());
        Rounding {
            inputs: &self.inputs[rows.start * k..rows.end * k],
            outputs: &self.outputs[rows.start * n_out..rows.end * n_out],
            ..*self
        }
    }

    /// Rounding to nearest: for each element, whether that is up.
    pub fn nearest(&self) -> Vec<bool> {
        let steps = self.steps();
        steps.map(|steps| round_half_even(steps) > floor(steps)).collect()
    }

    /// The weight with each element on the grid: an integer times its channel's step.
    pub fn values(&self, up: &[bool]) -> Vec<f32> {
        let integers = self.steps().zip(up).map(|(steps, &up)| self.integer(steps, up));
        integers.zip(self.scales()).map(|(integer, scale)| integer * scale).collect()
    }

    /// The mean squared error of each output channel behind the activation.
    pub fn errors(&self, up: &[bool]) -> Vec<f64> {
        let n_out = self.scale.len();
        let change: Vec<f32> = self.values(up).iter().zip(self.weight).map(|(found, w)| found - w).collect();
        let mut outputs = self.outputs.to_vec();
        product(self.inputs, &change, Init::Accumulate, &mut outputs, [self.n_rows(), self.depth(), n_out]);
        let mut errors = vec![0.0; n_out];
        for (idx, (&found, &expected)) in outputs.iter().zip(self.outputs).enumerate() {
            let error = self.activation.of(found) - self.activation.of(expected);
            errors[idx % n_out] += f64::from(error).powi(2);
        }
        let n_rows = self.n_rows().max(1) as f64;
        errors.iter_mut().for_each(|error| *error /= n_rows);
        errors
    }

    fn n_rows(&self) -> usize {
        self.outputs.len() / self.scale.len()
    }

    fn depth(&self) -> usize {
        self.weight.len() / self.scale.len()
    }

    /// The scale of each element.
    fn scales(&self) -> impl Iterator<Item = f32> {
        let k = self.depth();
        self.scale.iter().flat_map(move |&scale| std::iter::repeat_n(scale, k))
    }

    /// Each element in steps of its scale.
    pub(crate) fn steps(&self) -> impl Iterator<Item = f32> {
        self.weight.iter().zip(self.scales()).map(|(w, scale)| w / scale)
    }

    /// What becomes of an element of so many steps.
    pub(crate) fn integer(&self, steps: f32, up: bool) -> f32 {
        self.clip(floor(steps) + f32::from(u8::from(up)))
    }

    fn clip(&self, integer: f32) -> f32 {
        let (qmin, qmax) = QuantParams::range(self.bits);
        integer.clamp(qmin as f32, qmax as f32)
    }
}

/// The greatest integer that is not greater, for numbers that fit into one of 32 bits. Unlike `f32::floor` it is no function
/// call on processors without SSE 4.1.
fn floor(x: f32) -> f32 {
    let towards_zero = x as i32 as f32;
    if towards_zero > x { towards_zero - 1.0 } else { towards_zero }
}

/// `[n, k]` times the transpose of `[out, k]`.
pub(crate) fn product(
    rows: &[f32],
    weight: &[f32],
    init: Init<'_>,
    into: &mut [f32],
    [n, k, n_out]: [usize; 3],
) {
    let right = Matrix::row_major(weight, n_out, k).transposed();
    gemm(
        Left::Plain(Matrix::row_major(rows, n, k)),
        Right::Plain(right),
        init,
        MatrixMut::row_major(into, n, n_out),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Inputs that mix a few numbers, so that their errors can make up for each other; a weight; and what it gives.
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
        for activation in [Activation::Identity, Activation::Clip(0.0, 6.0), Activation::LeakyRelu(0.1)] {
            for scale in [1.0 / 7.0, 1.0 / 31.0] {
                let scales = [scale; OUT];
                let on = |rows: Range<usize>| Rounding {
                    inputs: &inputs[rows.start * K..rows.end * K],
                    outputs: &outputs[rows.start * OUT..rows.end * OUT],
                    weight: &weight,
                    scale: &scales,
                    bits: 6,
                    activation,
                };
                let (seen, unseen) = (on(0..N), on(N..2 * N));
                let up = seen.learn(&config(1000));
                let of = |rounding: &Rounding<'_>, up: &[bool]| rounding.errors(up).iter().sum::<f64>();
                let nearest = seen.nearest();
                let ratio = [seen, unseen].map(|rows| of(&rows, &up) / of(&rows, &nearest));
                assert!(ratio.iter().all(|ratio| *ratio < 0.8), "{activation:?} {scale}: {ratio:?}");
                for (value, w) in seen.values(&up).iter().zip(&weight) {
                    let (found, steps) = ((value / scale).round(), w / scale);
                    assert!((found - steps.floor()) * (found - steps.ceil()) == 0.0, "{found} for {steps}");
                }
                assert_eq!(seen.learn(&config(1000)), up);
            }
        }
    }

    #[test]
    fn what_only_fits_the_rows_learned_on_is_not_kept() {
        // Noise, and hardly more rows than there are weights: whatever is learned holds for these rows alone.
        let (inputs, weight, scale) = (numbers(40 * 4 * K, 5), numbers(OUT * 4 * K, 6), [1.0 / 7.0; OUT]);
        let mut outputs = vec![0.0; 40 * OUT];
        product(&inputs, &weight, Init::Zero, &mut outputs, [40, 4 * K, OUT]);
        let activation = Activation::Identity;
        let all = Rounding {
            inputs: &inputs,
            outputs: &outputs,
            weight: &weight,
            scale: &scale,
            bits: 6,
            activation,
        };
        let up = all.learn(&config(300));
        let unseen = all.rows(30..40);
        let of = |up: &[bool]| unseen.errors(up);
        assert!(of(&up).iter().zip(of(&all.nearest())).all(|(learned, nearest)| *learned <= nearest));
    }

    #[test]
    fn what_is_beyond_the_integers_stays_there() {
        let rounding = Rounding {
            inputs: &[1.0; 12],
            outputs: &[0.0; 4],
            weight: &[40.5, -40.5, 31.0],
            scale: &[1.0],
            bits: 6,
            activation: Activation::Identity,
        };
        assert_eq!(rounding.values(&rounding.learn(&config(10))), [31.0, -32.0, 31.0]);
        assert_eq!(rounding.values(&[true; 3]), [31.0, -32.0, 31.0]);
    }
}
