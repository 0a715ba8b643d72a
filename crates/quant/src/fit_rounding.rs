//! Fitted rounding: it rounds each element of a weight so that the layer's output changes least, by coordinate descent on
//! the second moments of the layer's inputs. It runs nothing.
//!
//! The objective is that of AdaRound without its activation and of GPTQ (Frantar et al., 2023), `d H d'` for a channel whose
//! weights change by `d`; the descent is that of QuantEase (Behdin et al., 2023), each weight choosing between the two
//! integers next to it.

use crate::rounding::{Rounding, n_fitted, product};
use intact8_kernels::gemm::{Init, Left, Right, gemm};
use intact8_kernels::matrix::{Matrix, MatrixMut};
use std::ops::Range;

/// The largest number of sweeps over the weights.
const MOST_SWEEPS: usize = 20;

/// The number of rows that are processed together.
const N_ROWS: usize = 128;

/// The inputs of a layer, some rows at a time.
#[derive(Clone, Copy)]
pub struct InputRows<'a> {
    /// The number of rows.
    pub n_rows: usize,
    /// Some of the rows, `[n, k]`.
    pub rows: &'a dyn Fn(Range<usize>) -> Vec<f32>,
}

impl Rounding<'_> {
    /// For each element of the weight, whether it is rounded up.
    ///
    /// The inputs are divided by `factors`, one for each element of a row, which the weight has been multiplied with; empty:
    /// no factors. `step` is the scale of the quantized inputs, whose rounding is noise that changed weights pass on. With
    /// `is_mean_corrected`, the mean error is corrected in the bias, and only the variation around it counts.
    ///
    /// It fits on the first three quarters of the rows. An output channel whose error on the last quarter is not smaller than
    /// with rounding to nearest is rounded to nearest: few rows and many weights overfit.
    pub fn fit(
        &self,
        inputs: InputRows<'_>,
        factors: &[f32],
        step: f32,
        is_mean_corrected: bool,
    ) -> Vec<bool> {
        let (n_out, nearest) = (self.scale.len(), self.nearest());
        let k = self.depth();
        let means = if is_mean_corrected { inputs.means(k) } else { vec![0.0; k] };
        let n_seen = n_fitted(inputs.n_rows);
        let noise = step * step / 12.0;
        let moments = moments(inputs, 0..n_seen, &means, factors, noise);
        let mut gradients = vec![0.0; n_out * k];
        product(&self.changes(&nearest), &moments, Init::Zero, &mut gradients, [n_out, k, k]);
        let mut up = nearest.clone();
        for channel in 0..n_out {
            let range = channel * k..(channel + 1) * k;
            let steps: Vec<f32> =
                self.weight[range.clone()].iter().map(|w| w / self.scale[channel]).collect();
            self.descend(&moments, &mut gradients[range.clone()], &steps, &mut up[range]);
        }
        let [before, after] = [&nearest, &up]
            .map(|up| errors(inputs, n_seen..inputs.n_rows, &self.changes(up), &means, factors, noise));
        for channel in (0..n_out).filter(|&channel| after[channel] >= before[channel]) {
            up[channel * k..][..k].copy_from_slice(&nearest[channel * k..][..k]);
        }
        up
    }

    /// The change of each weight by rounding, in steps.
    fn changes(&self, up: &[bool]) -> Vec<f32> {
        let change = |(steps, &up): (f32, &bool)| self.integer(steps, up) - steps;
        self.steps().zip(up).map(change).collect()
    }

    /// Each weight in turn is rounded the other way if that makes the error smaller, until no change does. The gradient
    /// is half that of the error by the weights.
    fn descend(&self, moments: &[f32], gradient: &mut [f32], steps: &[f32], up: &mut [bool]) {
        let k = steps.len();
        for _ in 0..MOST_SWEEPS {
            let mut has_changed = false;
            for idx in 0..k {
                let change = self.integer(steps[idx], !up[idx]) - self.integer(steps[idx], up[idx]);
                let row = &moments[idx * k..][..k];
                // The change of the error, which must be more than its own rounding error.
                let (linear, square) = (2.0 * change * gradient[idx], change * change * row[idx]);
                if linear + square < -1e-5 * square {
                    up[idx] = !up[idx];
                    gradient.iter_mut().zip(row).for_each(|(gradient, moment)| *gradient += change * moment);
                    has_changed = true;
                }
            }
            if !has_changed {
                return;
            }
        }
    }
}

impl InputRows<'_> {
    /// Some rows, of length `k`, a few at a time.
    fn few(self, rows: Range<usize>) -> impl Iterator<Item = Vec<f32>> {
        let end = rows.end;
        rows.step_by(N_ROWS).map(move |start| (self.rows)(start..(start + N_ROWS).min(end)))
    }

    /// The same less the means.
    fn few_centered(self, rows: Range<usize>, means: &[f32]) -> impl Iterator<Item = Vec<f32>> {
        self.few(rows).map(|mut few| {
            few.iter_mut().zip(means.iter().cycle()).for_each(|(x, mean)| *x -= mean);
            few
        })
    }

    /// The mean of all rows, of length `k`.
    fn means(self, k: usize) -> Vec<f32> {
        let mut means = vec![0.0f64; k];
        for few in self.few(0..self.n_rows) {
            for row in few.chunks_exact(k.max(1)) {
                means.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(*x) / self.n_rows as f64);
            }
        }
        means.into_iter().map(|mean| mean as f32).collect()
    }
}

/// The second moments of rows less the means, divided by factors, with noise on the diagonal; `[k, k]`.
fn moments(
    inputs: InputRows<'_>,
    rows: Range<usize>,
    means: &[f32],
    factors: &[f32],
    noise: f32,
) -> Vec<f32> {
    let (k, n_rows) = (means.len(), rows.len());
    let mut moments = vec![0.0; k * k];
    for few in inputs.few_centered(rows, means) {
        let matrix = Matrix::row_major(&few, few.len() / k, k);
        let into = MatrixMut::row_major(&mut moments, k, k);
        gemm(Left::Plain(matrix.transposed()), Right::Plain(matrix), Init::Accumulate, into);
    }
    moments.iter_mut().for_each(|moment| *moment /= n_rows.max(1) as f32);
    for (row, factor) in moments.chunks_exact_mut(k.max(1)).zip(factors) {
        row.iter_mut().zip(factors).for_each(|(moment, other)| *moment /= factor * other);
    }
    moments.iter_mut().step_by(k + 1).for_each(|moment| *moment += noise);
    moments
}

/// The mean squared error of each channel on some rows less the means, divided by factors, with the noise of their rounding.
fn errors(
    inputs: InputRows<'_>,
    rows: Range<usize>,
    changes: &[f32],
    means: &[f32],
    factors: &[f32],
    noise: f32,
) -> Vec<f64> {
    let (k, n_rows) = (means.len(), rows.len());
    let n_out = changes.len() / k.max(1);
    let of_noise = |changes: &[f32]| changes.iter().map(|d| f64::from(d * d * noise)).sum();
    let mut errors: Vec<f64> = changes.chunks_exact(k.max(1)).map(of_noise).collect();
    // Only products with a change of the weight count: dividing that is as good as dividing the rows.
    let divided: Vec<f32> = match factors {
        [] => changes.to_vec(),
        _ => changes.iter().zip(factors.iter().cycle()).map(|(change, factor)| change / factor).collect(),
    };
    for few in inputs.few_centered(rows, means) {
        let sizes = [few.len() / k, k, n_out];
        let mut outputs = vec![0.0; sizes[0] * n_out];
        product(&few, &divided, Init::Zero, &mut outputs, sizes);
        for row in outputs.chunks_exact(n_out) {
            errors.iter_mut().zip(row).for_each(|(error, x)| *error += f64::from(x * x) / n_rows as f64);
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounding<'a>(weight: &'a [f32], scale: &'a [f32]) -> Rounding<'a> {
        Rounding { weight, scale, bits: 8 }
    }

    /// Shows `see` rows as inputs.
    fn with_inputs<R>(rows: &[f32], k: usize, see: impl FnOnce(InputRows<'_>) -> R) -> R {
        let some = |range: Range<usize>| rows[range.start * k..range.end * k].to_vec();
        see(InputRows { n_rows: rows.len() / k, rows: &some })
    }

    fn fit(
        rounding: Rounding<'_>,
        rows: &[f32],
        factors: &[f32],
        step: f32,
        is_mean_corrected: bool,
    ) -> Vec<bool> {
        with_inputs(rows, rounding.depth(), |inputs| rounding.fit(inputs, factors, step, is_mean_corrected))
    }

    /// By hand: inputs are always equal, so only the sum of the weights counts, and 0.4 + 0.4 is nearly 1.
    #[test]
    fn errors_of_like_inputs_cancel() {
        let inputs = [1.0, 1.0, -2.0, -2.0, 3.0, 3.0, -1.0, -1.0, 2.0, 2.0, -3.0, -3.0, 1.5, 1.5, -1.5, -1.5];
        let weight = [0.4, 0.4];
        let rounding = rounding(&weight, &[1.0]);
        assert_eq!(rounding.nearest(), [false, false]);
        assert_eq!(fit(rounding, &inputs, &[], 0.0, false), [true, false]);
        // The noise of the inputs' rounding passes through either weight: if there is much of it, the nearest integer is best.
        assert_eq!(fit(rounding, &inputs, &[], 100.0, false), [false, false]);
    }

    #[test]
    fn a_constant_input_counts_unless_the_bias_takes_its_error() {
        let inputs = [5.0, 1.0, 5.0, -1.0, 5.0, 1.0, 5.0, -1.0, 5.0, 1.0, 5.0, -1.0, 5.0, 1.0, 5.0, -1.0];
        let (one, mixed) = ([0.4, 0.3], inputs.map(|x| x + 1.0));
        let plain = fit(rounding(&one, &[1.0]), &mixed, &[], 0.0, false);
        let corrected = fit(rounding(&one, &[1.0]), &mixed, &[], 0.0, true);
        assert_eq!((plain, corrected), (vec![false, true], vec![false, false]));
    }

    /// As good as dividing the rows first.
    #[test]
    fn factors_divide_the_inputs() {
        let inputs: Vec<f32> = (0..240).map(|idx| ((idx * 7919 + 13) % 101) as f32 / 8.0 - 6.0).collect();
        let (factors, weight) = ([0.5, 4.0, 1.0], [0.4, 0.45, 2.3, 1.7, -0.6, 0.1]);
        let divided: Vec<f32> = inputs.iter().zip(factors.iter().cycle()).map(|(x, f)| x / f).collect();
        let (scale, step) = ([0.3, 0.7], 0.25);
        for is_mean_corrected in [false, true] {
            let of =
                |inputs, factors| fit(rounding(&weight, &scale), inputs, factors, step, is_mean_corrected);
            let found = of(&inputs, &factors);
            assert_eq!(found, of(&divided, &[]));
            assert_ne!(found, of(&inputs, &[]));
        }
    }

    /// On rows that repeat, the rows that are fitted on are those that are not.
    #[test]
    fn fitting_is_never_worse_than_nearest() {
        let mut state = 1u64;
        let mut number = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        let mut n_better = 0;
        for _ in 0..500 {
            let inputs = [(); 12].map(|()| 4.0 * number()).repeat(4);
            let weight = [(); 6].map(|()| 3.0 * number());
            let (step, scale) = (0.1 * (number() + 1.0), [0.05, 0.7]);
            let rounding = rounding(&weight, &scale);
            let noise = step * step / 12.0;
            let error = |up: Vec<bool>| {
                with_inputs(&inputs, 3, |inputs| {
                    errors(inputs, 0..16, &rounding.changes(&up), &[0.0; 3], &[], noise)
                })
            };
            let [fitted, nearest] = [fit(rounding, &inputs, &[], step, false), rounding.nearest()].map(error);
            for (fitted, nearest) in fitted.iter().zip(nearest) {
                assert!(*fitted <= nearest * (1.0 + 1e-4), "{fitted} {nearest}");
                n_better += usize::from(*fitted < nearest * 0.9);
            }
        }
        assert!(n_better > 200, "{n_better} of 1000 channels");
    }
}
