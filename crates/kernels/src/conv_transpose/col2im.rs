//! Transposed convolution as a matrix product of `taps of the output channels × input channels` and the input, whose
//! rows are then added to the output at the positions of the taps.

use std::cell::Cell;
use std::ops::Range;

use super::ConvTransposeShape;
use crate::buffer::{AlignedBuffer, with_scratch};
use crate::gemm::{Init, Kernel, Left, PackedLeft, Right};
use crate::matrix::{Matrix, MatrixMut};
use crate::parallel::{self, balanced};
use crate::window::Window;

/// The preferred number of rows of the product of a block of output channels.
const BLOCK_ROWS: usize = 56;

thread_local! {
    static COLUMNS: Cell<AlignedBuffer<f32>> = const { Cell::new(AlignedBuffer::EMPTY) };
}

/// The blocks of output channels that are computed together.
pub(super) fn blocks(window: &Window, out_channels: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    balanced(out_channels, BLOCK_ROWS.div_ceil(window.taps()))
}

/// The output, block by block; `window` is that of the forward convolution.
pub(super) fn conv_transpose(
    kernel: &Kernel,
    shape: &ConvTransposeShape,
    window: &Window,
    input: &[f32],
    weights: &[PackedLeft],
    bias: Option<&[f32]>,
    mut output: &mut [f32],
) {
    let (in_channels, out_channels) = (shape.group_in_channels(), shape.group_out_channels());
    let operations = input.len() * out_channels * window.taps();
    let mut pieces = Vec::new();
    for (i, input) in input.chunks_exact(in_channels * window.output_len()).enumerate() {
        let group = i % shape.groups;
        let blocks = blocks(window, out_channels);
        let per_group = weights.len() / shape.groups;
        for (block, weights) in blocks.zip(&weights[group * per_group..]) {
            let (head, tail) = std::mem::take(&mut output).split_at_mut(block.len() * window.input_len());
            output = tail;
            let channels = group * out_channels + block.start..group * out_channels + block.end;
            pieces.push((input, weights, bias.map(|bias| &bias[channels]), head));
        }
    }
    parallel::for_each(operations, pieces, |(input, weights, bias, output)| {
        let (rows, columns) = (output.len() / window.input_len() * window.taps(), window.output_len());
        with_scratch(&COLUMNS, rows * columns, |products| {
            let right = Right::Plain(Matrix::row_major(input, in_channels, columns));
            kernel.gemm(
                Left::Packed(weights),
                right,
                Init::Zero,
                MatrixMut::row_major(products, rows, columns),
            );
            let channels = products.chunks_exact(window.taps() * columns);
            for (channel, (products, output)) in
                channels.zip(output.chunks_exact_mut(window.input_len())).enumerate()
            {
                output.fill(bias.map_or(0.0, |bias| bias[channel]));
                for (tap, products) in window.tap_positions().zip(products.chunks_exact(columns)) {
                    add_tap(window, tap, products, output);
                }
            }
        });
    });
}

/// Adds the contributions of one tap of all input positions to one plane of the output.
fn add_tap(window: &Window, tap: [usize; 3], products: &[f32], output: &mut [f32]) {
    let [depths, rows, columns] = window.output;
    let (stride, width) = (window.strides[2], window.input[2]);
    // The input columns that contribute to the output.
    let inside = |column: &usize| window.source(2, *column, tap[2]).is_some();
    let Some(first) = (0..columns).find(inside) else { return };
    let count = (first..columns).take_while(inside).count();
    let to = first * stride + tap[2] * window.dilations[2] - window.pads_begin[2];
    for depth in 0..depths {
        let Some(to_depth) = window.source(0, depth, tap[0]) else { continue };
        for row in 0..rows {
            let Some(to_row) = window.source(1, row, tap[1]) else { continue };
            let products = &products[(depth * rows + row) * columns + first..][..count];
            let output = &mut output[(to_depth * window.input[1] + to_row) * width + to..];
            if stride == 1 {
                output.iter_mut().zip(products).for_each(|(y, product)| *y += product);
            } else {
                output.iter_mut().step_by(stride).zip(products).for_each(|(y, product)| *y += product);
            }
        }
    }
}
