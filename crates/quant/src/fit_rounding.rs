//! Fitted rounding: which elements of a weight are rounded up so that the outputs of its layers change least, by coordinate
//! descent on the second moments of the layers' inputs. It runs nothing.
//!
//! The objective is that of AdaRound without its activation and of GPTQ (Frantar et al., 2023), `d H d'` for a channel whose
//! weights change by `d`, summed over the layers that share the weight; the descent is that of QuantEase (Behdin et al.,
//! 2023), each weight choosing between the two integers next to it. `H` is never computed as a whole: a block of columns has
//! its own moments, and meets the others through the errors of the outputs, `X d`.

mod block;
mod joint_rows;

pub use joint_rows::{InputRows, LayerInputs};

use crate::rounding::{Rounding, product};
use block::{Block, divided};
use intact8_kernels::gemm::Init;
use joint_rows::JointRows;
use rayon::prelude::*;
use std::ops::Range;

/// The largest number of sweeps over the weights of a block.
const MOST_SWEEPS: usize = 20;

/// The largest number of passes over all blocks, if there are several.
const MOST_PASSES: usize = 6;

/// The longest row that is one block: its moments take 16 MiB.
const MOST_COLUMNS: usize = 2048;

/// How many elements of a longer row are one block: the moments of more would take longer than the errors of the outputs.
const N_COLUMNS: usize = 256;

/// How many elements of channels by columns are processed together by a thread: each array of them takes 512 KiB.
const N_ELEMENTS: usize = 1 << 17;

/// The greatest number of bytes that [`Rounding::fit`] allocates for a weight of `n_out` channels of `depth` elements, with so
/// many rows in all; its result included.
pub fn fit_bytes(n_out: usize, depth: usize, n_rows: usize) -> usize {
    let columns = n_columns(depth);
    let n_threads = rayon::current_num_threads();
    let of_thread =
        4 * N_ELEMENTS.min(n_out * columns).max(columns) + n_rows * channels_at_once(columns).min(n_out);
    let residuals = if depth > columns { n_out * n_rows } else { n_out };
    // Three choices for each element; errors of channels and means in f64.
    3 * n_out * depth
        + 4 * (columns * columns + 2 * n_rows * columns + residuals + n_threads * of_thread)
        + 8 * (2 * n_out + 2 * depth)
}

/// How many elements of a row of that length are one block.
fn n_columns(depth: usize) -> usize {
    if depth > MOST_COLUMNS { N_COLUMNS } else { depth }
}

/// How many channels are processed together, with blocks of that many columns.
fn channels_at_once(n_columns: usize) -> usize {
    (N_ELEMENTS / n_columns.max(1)).max(1)
}

impl Rounding<'_> {
    /// For each element of the weight, whether it is rounded up.
    ///
    /// `layers` are the inputs of the layers that share the weight, at least one. The inputs are divided by `factors`, one for
    /// each element of a row, which the weight has been multiplied with; empty: no factors. With `is_mean_corrected`, the mean
    /// error is corrected in the bias of each layer, and only the variation around it counts.
    ///
    /// It fits on the first three quarters of the rows of each layer. An output channel whose error on the last quarters is not
    /// smaller than with rounding to nearest is rounded to nearest: few rows and many weights overfit.
    pub fn fit(&self, layers: &[LayerInputs<'_>], factors: &[f32], is_mean_corrected: bool) -> Vec<bool> {
        let k = self.depth();
        let rows = JointRows::new(layers, k, is_mean_corrected);
        let nearest = self.nearest();
        let mut up = nearest.clone();
        self.descend(&rows, factors, &mut up);
        let [before, after] = [&nearest, &up].map(|up| self.errors_on_unseen(&rows, factors, up));
        for (channel, _) in
            before.iter().zip(&after).enumerate().filter(|(_, (before, after))| after >= before)
        {
            up[channel * k..][..k].copy_from_slice(&nearest[channel * k..][..k]);
        }
        up
    }

    /// Rounds weights the other way as long as that makes the error smaller, block by block.
    fn descend(&self, rows: &JointRows<'_>, factors: &[f32], up: &mut [bool]) {
        let k = self.depth();
        let blocks = blocks(k);
        let is_whole = blocks.len() == 1;
        // The error of each output of each row, channel by channel; one block alone does without.
        let n_rows = if is_whole { 1 } else { rows.n_seen().max(1) };
        let mut errors = vec![0.0f32; n_rows * self.scale.len()];
        let at_once = channels_at_once(blocks[0].len());
        for columns in blocks.iter().filter(|_| !is_whole) {
            let block = Block {
                rounding: self,
                columns: columns.clone(),
                factors,
                seen: &rows.seen(columns.clone()),
            };
            up.par_chunks(at_once * k).zip(errors.par_chunks_mut(at_once * n_rows)).enumerate().for_each(
                |(part, (up, errors))| block.add_errors(errors, &block.changes(part * at_once, up)),
            );
        }
        for _ in 0..if is_whole { 1 } else { MOST_PASSES } {
            let mut has_changed = false;
            for columns in &blocks {
                let moments = rows.moments(columns.clone(), factors);
                let seen = if is_whole { vec![] } else { rows.seen(columns.clone()) };
                let block = Block { rounding: self, columns: columns.clone(), factors, seen: &seen };
                let parts =
                    up.par_chunks_mut(at_once * k).zip(errors.par_chunks_mut(at_once * n_rows)).enumerate();
                has_changed |= parts
                    .map(|(part, (up, errors))| {
                        let before = block.changes(part * at_once, up);
                        let gradients = match is_whole {
                            true => block.gradients_of_moments(&before, &moments),
                            false => block.gradients_of_errors(&before, errors, rows),
                        };
                        let has_changed = block.descend(part * at_once, up, gradients, &moments);
                        if has_changed && !is_whole {
                            let mut changes = block.changes(part * at_once, up);
                            changes.iter_mut().zip(before).for_each(|(now, before)| *now -= before);
                            block.add_errors(errors, &changes);
                        }
                        has_changed
                    })
                    .reduce(|| false, |one, other| one | other);
            }
            if !has_changed {
                return;
            }
        }
    }

    /// The mean squared error of each channel on the rows that were not fitted on, summed over the layers, with the noise of
    /// their rounding.
    fn errors_on_unseen(&self, rows: &JointRows<'_>, factors: &[f32], up: &[bool]) -> Vec<f64> {
        let k = self.depth();
        let blocks = blocks(k);
        let at_once = channels_at_once(blocks[0].len());
        let of_part = |(part, up): (usize, &[bool])| {
            let n_channels = up.len() / k;
            let mut errors = vec![0.0; n_channels];
            let changes = |columns: &Range<usize>| {
                Block { rounding: self, columns: columns.clone(), factors: &[], seen: &[] }
                    .changes(part * at_once, up)
            };
            for columns in &blocks {
                let of_noise =
                    |changes: &[f32]| changes.iter().map(|d| f64::from(d * d * rows.noise)).sum::<f64>();
                let changes = changes(columns);
                let channels = changes.chunks_exact(columns.len());
                errors.iter_mut().zip(channels).for_each(|(error, changes)| *error += of_noise(changes));
            }
            // Only products with a change of the weight count: dividing that is as good as dividing the rows.
            let divided = |columns: &Range<usize>| divided(changes(columns), factors, columns);
            let whole = (blocks.len() == 1).then(|| divided(&blocks[0]));
            for few in rows.unseen() {
                let mut outputs = vec![0.0; few.n_rows() * n_channels];
                for columns in &blocks {
                    let of_block;
                    let changes = match &whole {
                        Some(whole) => whole,
                        None => {
                            of_block = divided(columns);
                            &of_block
                        }
                    };
                    let sizes = [few.n_rows(), columns.len(), n_channels];
                    product(&few.columns(columns.clone()), changes, Init::Accumulate, &mut outputs, sizes);
                }
                for row in outputs.chunks_exact(n_channels) {
                    let n_rows = few.n_of_layer as f64;
                    errors.iter_mut().zip(row).for_each(|(error, x)| *error += f64::from(x * x) / n_rows);
                }
            }
            errors
        };
        up.par_chunks(at_once * k).enumerate().flat_map_iter(of_part).collect()
    }

    /// Each weight of a channel in turn is rounded the other way if that makes the error smaller, until no change does. The
    /// gradient is half that of the error by the weights. Returns whether any is.
    fn descend_channel(&self, moments: &[f32], gradient: &mut [f32], steps: &[f32], up: &mut [bool]) -> bool {
        let k = steps.len();
        let mut has_ever_changed = false;
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
                break;
            }
            has_ever_changed = true;
        }
        has_ever_changed
    }
}

/// The columns of a weight of that depth, which is not 0, in blocks.
fn blocks(k: usize) -> Vec<Range<usize>> {
    (0..k).step_by(n_columns(k)).map(|start| start..(start + n_columns(k)).min(k)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounding<'a>(weight: &'a [f32], scale: &'a [f32]) -> Rounding<'a> {
        Rounding { weight, scale, bits: 8 }
    }

    /// Shows `see` the rows of each layer as its inputs, with the scale of their quantization.
    fn given<R>(layers: &[(&[f32], f32)], k: usize, see: impl FnOnce(&[LayerInputs<'_>]) -> R) -> R {
        let block = |rows: &[f32], range: Range<usize>, columns: Range<usize>| -> Vec<f32> {
            range.flat_map(|row| rows[row * k..][..k][columns.clone()].to_vec()).collect()
        };
        let blocks: Vec<_> =
            layers.iter().map(|&(rows, _)| move |range, columns| block(rows, range, columns)).collect();
        let inputs = layers.iter().zip(&blocks).map(|(&(rows, step), block)| LayerInputs {
            rows: InputRows { n_rows: rows.len() / k, block },
            step,
        });
        see(&inputs.collect::<Vec<_>>())
    }

    fn fit(
        rounding: Rounding<'_>,
        rows: &[f32],
        factors: &[f32],
        step: f32,
        is_mean_corrected: bool,
    ) -> Vec<bool> {
        given(&[(rows, step)], rounding.depth(), |layers| rounding.fit(layers, factors, is_mean_corrected))
    }

    /// The errors of each channel on the last quarter of the rows.
    fn unseen_errors(rounding: Rounding<'_>, rows: &[f32], step: f32, up: &[bool]) -> Vec<f64> {
        let k = rounding.depth();
        given(&[(rows, step)], k, |layers| {
            rounding.errors_on_unseen(&JointRows::new(layers, k, false), &[], up)
        })
    }

    fn numbers(mut state: u64) -> impl FnMut() -> f32 {
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        }
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

    /// The inputs of one layer are always equal, those of the other opposite: in the sum of both, no errors cancel.
    #[test]
    fn layers_that_share_a_weight_are_fitted_on_the_sum_of_their_errors() {
        let equal = [1.0, 1.0, -2.0, -2.0, 3.0, 3.0, -1.0, -1.0, 2.0, 2.0, -3.0, -3.0, 1.5, 1.5, -1.5, -1.5];
        let signs = [1.0, -1.0].into_iter().cycle();
        let opposite: Vec<f32> = equal.iter().zip(signs).map(|(x, sign)| x * sign).collect();
        let weight = [0.4, 0.4];
        let rounding = rounding(&weight, &[1.0]);
        let fit = |layers: &[(&[f32], f32)]| given(layers, 2, |layers| rounding.fit(layers, &[], false));
        assert_eq!(fit(&[(&equal, 0.0), (&equal[..8], 0.0)]), [true, false]);
        assert_eq!(fit(&[(&equal, 0.0), (&opposite, 0.0)]), [false, false]);
        // However few rows it has, a layer counts as much; its own mean is what its bias corrects.
        assert_eq!(fit(&[(&equal, 0.0), (&opposite[..12], 0.0)]), [false, false]);
    }

    /// More columns than a block has: fitted to the same end as if there were one block.
    #[test]
    fn blocks_of_columns_are_fitted_together() {
        let (k, n_rows) = (MOST_COLUMNS + 100, 24);
        let mut number = numbers(7);
        let some: Vec<f32> = (0..n_rows * k).map(|_| number()).collect();
        let inputs = some.repeat(4);
        let weight: Vec<f32> = (0..3 * k).map(|_| 3.0 * number()).collect();
        let (scale, factors) = ([0.05, 0.7, 0.1], vec![0.5; k]);
        let rounding = rounding(&weight, &scale);
        for factors in [&[][..], &factors] {
            let up = fit(rounding, &inputs, factors, 0.02, false);
            let [fitted, nearest] =
                [up, rounding.nearest()].map(|up| unseen_errors(rounding, &inputs, 0.02, &up));
            for (fitted, nearest) in fitted.iter().zip(nearest) {
                assert!(*fitted < nearest * 0.1, "{fitted} {nearest}");
            }
        }
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
        let mut number = numbers(1);
        let mut n_better = 0;
        for _ in 0..500 {
            let inputs = [(); 12].map(|()| 4.0 * number()).repeat(4);
            let weight = [(); 6].map(|()| 3.0 * number());
            let (step, scale) = (0.1 * (number() + 1.0), [0.05, 0.7]);
            let rounding = rounding(&weight, &scale);
            let error = |up: Vec<bool>| unseen_errors(rounding, &inputs, step, &up);
            let [fitted, nearest] = [fit(rounding, &inputs, &[], step, false), rounding.nearest()].map(error);
            for (fitted, nearest) in fitted.iter().zip(nearest) {
                assert!(*fitted <= nearest * (1.0 + 1e-4), "{fitted} {nearest}");
                n_better += usize::from(*fitted < nearest * 0.9);
            }
        }
        assert!(n_better > 200, "{n_better} of 1000 channels");
    }
}
