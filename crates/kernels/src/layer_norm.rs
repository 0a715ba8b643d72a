//! Layer normalization over the rows of a dense matrix, with mean and variance in f32, as ONNX's default `stash_type`.
//!
//! Sums are accumulated in f64, in sixteen parts by index, so that the bits depend neither on the instruction set nor
//! on the number of threads.
//! It does not normalize over channels or groups, and has no running statistics.

mod reference;

use crate::isa::Loops;
use crate::loops::{LoopKernel, best};
use crate::parallel;
use crate::softmax::sum;

/// The parameters of a layer normalization.
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'a> {
    /// A factor for each element of a row; its length is that of the rows.
    pub scale: &'a [f32],
    /// A summand for each element of a row; its length is that of the rows.
    pub bias: Option<&'a [f32]>,
    /// The summand of the variance, positive.
    pub epsilon: f32,
}

/// Normalizes with the best kernel; see [`LoopKernel::layer_norm`].
pub fn layer_norm(normalization: Normalization<'_>, input: &[f32], output: &mut [f32]) {
    best().layer_norm(normalization, input, output);
}

impl LoopKernel {
    /// `output = (input - mean) / √(variance + epsilon) · scale + bias` for every row,
    /// mean and variance those of the row.
    ///
    /// # Panics
    /// If scale and bias, or input and output, differ in length, or the length of the input is not a multiple of the
    /// row's.
    pub fn layer_norm(&self, normalization: Normalization<'_>, input: &[f32], output: &mut [f32]) {
        let row_len = normalization.scale.len();
        assert!(
            normalization.bias.is_none_or(|bias| bias.len() == row_len),
            "scale and bias differ in length"
        );
        assert_eq!(input.len(), output.len(), "input and output differ in length");
        if input.is_empty() {
            return;
        }
        assert!(
            row_len > 0 && input.len().is_multiple_of(row_len),
            "the number of elements is not a multiple of the row length"
        );
        parallel::for_each_rows(COST, row_len, output, |range, output| {
            let input = &input[range];
            match self.isa {
                Some(isa) => isa.run(RowLoop { normalization, input, output }),
                None => reference::layer_norm(normalization, input, output),
            }
        });
    }
}

/// The approximate number of operations per element.
const COST: usize = 8;

struct RowLoop<'a> {
    normalization: Normalization<'a>,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Loops for RowLoop<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        let Normalization { scale, bias, epsilon } = self.normalization;
        let len = scale.len();
        for (input, output) in self.input.chunks_exact(len).zip(self.output.chunks_exact_mut(len)) {
            let mean = (sum(input) / len as f64) as f32;
            for (y, x) in output.iter_mut().zip(input) {
                *y = (x - mean) * (x - mean);
            }
            let variance = (sum(output) / len as f64) as f32;
            let factor = 1.0 / (variance + epsilon).sqrt();
            for ((y, x), scale) in output.iter_mut().zip(input).zip(scale) {
                *y = (x - mean) * factor * scale;
            }
            if let Some(bias) = bias {
                for (y, bias) in output.iter_mut().zip(bias) {
                    *y += bias;
                }
            }
        }
    }
}
