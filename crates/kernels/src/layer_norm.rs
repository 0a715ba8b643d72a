//! Layer normalization over the rows of a dense matrix, mean and variance in f32 as the `stash_type` of ONNX
//! has it.
//!
//! Sums are accumulated in f64, in sixteen parts by index:
//! the same bits from every instruction set and any number of threads.
//! Normalizing over channels or groups, and running statistics, are other operations.

mod reference;

use crate::isa::Loops;
use crate::loops::{LoopKernel, best};
use crate::parallel;
use crate::softmax::sum;

/// What rows are scaled by after they are normalized.
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'a> {
    /// A factor for each element of a row; its length is that of the rows.
    pub scale: &'a [f32],
    /// What is added to each element of a row.
    pub bias: Option<&'a [f32]>,
    /// What is added to the variance.
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
    /// If scale and bias, or input and output, differ in length, or the input is not whole rows.
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
        assert!(row_len > 0 && input.len().is_multiple_of(row_len), "the elements are not whole rows");
        parallel::for_each_rows(COST, row_len, output, |range, output| {
            let input = &input[range];
            match self.isa {
                Some(isa) => isa.run(Rows { normalization, input, output }),
                None => reference::layer_norm(normalization, input, output),
            }
        });
    }
}

/// Roughly the operations per element.
const COST: usize = 8;

struct Rows<'a> {
    normalization: Normalization<'a>,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Loops for Rows<'_> {
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
