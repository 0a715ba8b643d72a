//! Softmax and its logarithm over the rows of a dense matrix.
//!
//! The largest element is subtracted first. Sums are accumulated in f64, in sixteen parts by index, so that the bits
//! do not depend on the number of threads, nor on the instruction set if its multiply-adds are fused.
//! For other axes than the last the caller transposes.

mod reference;

use std::array;

use crate::elementwise::functions::{exp, log};
use crate::isa::Loops;
use crate::loops::{LoopKernel, best};
use crate::parallel;

/// Softmax with the best kernel; see [`LoopKernel::softmax`].
pub fn softmax(row_len: usize, input: &[f32], output: &mut [f32]) {
    best().softmax(row_len, input, output);
}

/// The logarithm of softmax with the best kernel; see [`LoopKernel::log_softmax`].
pub fn log_softmax(row_len: usize, input: &[f32], output: &mut [f32]) {
    best().log_softmax(row_len, input, output);
}

impl LoopKernel {
    /// `output = e^(input - max) / Σ e^(input - max)` for every `row_len` elements.
    /// A row with NaN, or whose maximum is infinite, becomes NaN.
    ///
    /// # Panics
    /// If the slices differ in length, or their length is not a multiple of `row_len`.
    pub fn softmax(&self, row_len: usize, input: &[f32], output: &mut [f32]) {
        self.run(false, row_len, input, output);
    }

    /// `output = input - max - log Σ e^(input - max)` for every `row_len` elements.
    /// A row with NaN, or whose maximum is infinite, becomes NaN.
    ///
    /// # Panics
    /// If the slices differ in length, or their length is not a multiple of `row_len`.
    pub fn log_softmax(&self, row_len: usize, input: &[f32], output: &mut [f32]) {
        self.run(true, row_len, input, output);
    }

    fn run(&self, logarithm: bool, row_len: usize, input: &[f32], output: &mut [f32]) {
        assert_eq!(input.len(), output.len(), "input and output differ in length");
        if input.is_empty() {
            return;
        }
        assert!(
            input.len().is_multiple_of(row_len),
            "the number of elements is not a multiple of the row length"
        );
        parallel::for_each_rows(COST, row_len, output, |range, output| {
            let input = &input[range];
            match self.isa {
                Some(isa) => isa.run(RowLoop { logarithm, row_len, input, output }),
                None => reference::softmax(logarithm, row_len, input, output),
            }
        });
    }
}

/// The approximate number of operations per element.
const COST: usize = 16;

/// The number of elements, rounded up to whole rows, whose exponentials are computed at once.
const BLOCK: usize = 2048;

/// The partial sums of a row.
const LANES: usize = 16;

struct RowLoop<'a> {
    logarithm: bool,
    row_len: usize,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Loops for RowLoop<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, fused: bool) {
        let RowLoop { logarithm, row_len, input, output } = self;
        let block = BLOCK.next_multiple_of(row_len);
        for (input, output) in input.chunks(block).zip(output.chunks_mut(block)) {
            for (input, output) in input.chunks_exact(row_len).zip(output.chunks_exact_mut(row_len)) {
                let max = largest(input);
                for (y, x) in output.iter_mut().zip(input) {
                    *y = *x - max;
                }
            }
            exponentials(fused, output);
            for (input, output) in input.chunks_exact(row_len).zip(output.chunks_exact_mut(row_len)) {
                let sum = sum(output) as f32;
                if logarithm {
                    let (max, log_sum) = (largest(input), log(fused, sum));
                    for (y, x) in output.iter_mut().zip(input) {
                        *y = *x - max - log_sum;
                    }
                } else {
                    for y in output {
                        *y /= sum;
                    }
                }
            }
        }
    }
}

/// Replaces each number by its exponential. Several rows at once are faster, as the loop over one has a remainder.
#[inline(always)]
fn exponentials(fused: bool, values: &mut [f32]) {
    for value in values {
        *value = exp(fused, *value);
    }
}

/// The largest element, ignoring NaN.
#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut max = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for i in 0..LANES {
            max[i] = if chunk[i] > max[i] { chunk[i] } else { max[i] };
        }
    }
    for i in 0..rest.len() {
        max[i] = if rest[i] > max[i] { rest[i] } else { max[i] };
    }
    reduced(max, |a, b| if b > a { b } else { a })
}

#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f64 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for i in 0..LANES {
            sums[i] += f64::from(chunk[i]);
        }
    }
    for i in 0..rest.len() {
        sums[i] += f64::from(rest[i]);
    }
    reduced(sums, |a, b| a + b)
}

/// Combines the second half of the lanes with the first, and so on.
#[inline(always)]
fn reduced<T: Copy>(lanes: [T; LANES], combine: impl Fn(T, T) -> T) -> T {
    let eight: [T; 8] = array::from_fn(|i| combine(lanes[i], lanes[i + 8]));
    let four: [T; 4] = array::from_fn(|i| combine(eight[i], eight[i + 4]));
    combine(combine(four[0], four[2]), combine(four[1], four[3]))
}
