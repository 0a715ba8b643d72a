//! A block of columns of a weight: its changes by rounding, what they do to the outputs, and its descent.

use super::joint_rows::JointRows;
use crate::rounding::{Rounding, product};
use intact8_kernels::gemm::{Init, Left, Right, gemm};
use intact8_kernels::matrix::{Matrix, MatrixMut};
use std::ops::Range;

/// A block of columns.
pub(super) struct Block<'a> {
    pub(super) rounding: &'a Rounding<'a>,
    pub(super) columns: Range<usize>,
    /// The smoothing factors of all columns; empty: none.
    pub(super) factors: &'a [f32],
    /// The rows that are fitted on, in these columns.
    pub(super) seen: &'a [f32],
}

impl Block<'_> {
    /// The weights of some channels in these columns, in steps. `n_channels` follow `first`.
    fn steps(&self, first: usize, n_channels: usize) -> Vec<f32> {
        let (rounding, k) = (self.rounding, self.rounding.depth());
        let of_channel = |channel: usize| {
            let weights = &rounding.weight[channel * k..][..k][self.columns.clone()];
            weights.iter().map(move |weight| weight / rounding.scale[channel])
        };
        (first..first + n_channels).flat_map(of_channel).collect()
    }

    /// The change of each of these weights by rounding, in steps.
    pub(super) fn changes(&self, first: usize, up: &[bool]) -> Vec<f32> {
        let k = self.rounding.depth();
        let mut changes = self.steps(first, up.len() / k);
        let up = up.chunks_exact(k).flat_map(|up| &up[self.columns.clone()]);
        let change = |(steps, &up): (&mut f32, &bool)| *steps = self.rounding.integer(*steps, up) - *steps;
        changes.iter_mut().zip(up).for_each(change);
        changes
    }

    /// Adds what changes of weights do to the outputs of the rows, `[channels, rows]`.
    pub(super) fn add_errors(&self, errors: &mut [f32], changes: &[f32]) {
        let width = self.columns.len();
        let (n_channels, n_rows) = (changes.len() / width, self.seen.len() / width);
        let changes = divided(changes.to_vec(), self.factors, &self.columns);
        gemm(
            Left::Plain(Matrix::row_major(&changes, n_channels, width)),
            Right::Plain(Matrix::row_major(self.seen, n_rows, width).transposed()),
            Init::Accumulate,
            MatrixMut::row_major(&mut errors[..n_channels * n_rows], n_channels, n_rows),
        );
    }

    /// Half the gradient of the error by these weights, if there are no others.
    pub(super) fn gradients_of_moments(&self, changes: &[f32], moments: &[f32]) -> Vec<f32> {
        let width = self.columns.len();
        let mut gradients = vec![0.0; changes.len()];
        product(changes, moments, Init::Zero, &mut gradients, [changes.len() / width, width, width]);
        gradients
    }

    /// Half the gradient of the error by these weights, from the errors of the outputs.
    pub(super) fn gradients_of_errors(
        &self,
        changes: &[f32],
        errors: &[f32],
        rows: &JointRows<'_>,
    ) -> Vec<f32> {
        let width = self.columns.len();
        let (n_channels, n_rows) = (changes.len() / width, self.seen.len() / width);
        let mut gradients = vec![0.0; changes.len()];
        gemm(
            Left::Plain(Matrix::row_major(&errors[..n_channels * n_rows], n_channels, n_rows)),
            Right::Plain(Matrix::row_major(self.seen, n_rows, width)),
            Init::Zero,
            MatrixMut::row_major(&mut gradients, n_channels, width),
        );
        gradients.iter_mut().for_each(|gradient| *gradient /= rows.divisor());
        let mut gradients = divided(gradients, self.factors, &self.columns);
        gradients.iter_mut().zip(changes).for_each(|(gradient, change)| *gradient += rows.noise * change);
        gradients
    }

    /// Rounds the weights of some channels in these columns; returns whether any is rounded another way than before.
    pub(super) fn descend(
        &self,
        first: usize,
        up: &mut [bool],
        mut gradients: Vec<f32>,
        moments: &[f32],
    ) -> bool {
        let (k, width) = (self.rounding.depth(), self.columns.len());
        let steps = self.steps(first, up.len() / k);
        let channels = gradients.chunks_exact_mut(width).zip(steps.chunks_exact(width));
        let mut has_changed = false;
        for (up, (gradient, steps)) in up.chunks_exact_mut(k).zip(channels) {
            has_changed |=
                self.rounding.descend_channel(moments, gradient, steps, &mut up[self.columns.clone()]);
        }
        has_changed
    }
}

/// Changes of weights, `[channels, columns]`, as the undivided inputs meet them.
pub(super) fn divided(mut changes: Vec<f32>, factors: &[f32], columns: &Range<usize>) -> Vec<f32> {
    if !factors.is_empty() {
        let factors = factors[columns.clone()].iter().cycle();
        changes.iter_mut().zip(factors).for_each(|(change, factor)| *change /= factor);
    }
    changes
}
