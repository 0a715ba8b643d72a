//! Rounding of weights up or down: the two integers next to each element, and the weight that a choice results in.
//!
//! The choices are made in `ada_round.rs` and `fit_rounding.rs`.

pub use crate::ada_round::{ActivationFunction, Examples, learn_bytes};
pub use crate::fit_rounding::{InputRows, LayerInputs, fit_bytes};
pub use crate::operands::{OutputErrors, ProductOperands, fake_quant_activation, fake_quant_weight};
pub use crate::shared_weights::SharedWeights;

use crate::params::{QuantParams, round_half_even};
use intact8_kernels::gemm::{Init, Left, Right, gemm};
use intact8_kernels::matrix::{Matrix, MatrixMut};

/// A weight that is rounded.
#[derive(Debug, Clone, Copy)]
pub struct Rounding<'a> {
    /// The weight, `[out, k]`.
    pub weight: &'a [f32],
    /// The step between two integers for each of the outputs: their number is `out`, and not 0.
    pub scale: &'a [f32],
    /// The width of the integers.
    pub bits: u8,
}

impl Rounding<'_> {
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

    /// The length of a row of the weight.
    pub(crate) fn depth(&self) -> usize {
        self.weight.len() / self.scale.len()
    }

    /// The scale of each element.
    pub(crate) fn scales(&self) -> impl Iterator<Item = f32> {
        let k = self.depth();
        self.scale.iter().flat_map(move |&scale| std::iter::repeat_n(scale, k))
    }

    /// Each element in steps of its scale.
    pub(crate) fn steps(&self) -> impl Iterator<Item = f32> {
        self.weight.iter().zip(self.scales()).map(|(w, scale)| w / scale)
    }

    /// The integer of an element in steps, rounded up or down.
    pub(crate) fn integer(&self, steps: f32, up: bool) -> f32 {
        self.clip(floor(steps) + f32::from(u8::from(up)))
    }

    /// The nearest integer in the range of the width.
    pub(crate) fn clip(&self, integer: f32) -> f32 {
        let (qmin, qmax) = QuantParams::integers(self.bits);
        integer.clamp(qmin as f32, qmax as f32)
    }
}

/// The number of rows, of `n_rows`, that rounding is fitted on; a quarter is left to check the result.
pub(crate) fn n_fitted(n_rows: usize) -> usize {
    n_rows - n_rows / 4
}

/// The greatest integer that is not greater, for numbers that fit into 32 bits. Unlike `f32::floor` it is no function
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

    #[test]
    fn a_quarter_of_the_rows_is_left_for_the_check() {
        assert_eq!([3, 4, 8, 1024].map(n_fitted), [3, 3, 6, 768]);
    }
}
