//! Integer convolution as a matrix product: the input is transposed to `NHWC`, windows become rows of bytes, and the
//! product is written back channel by channel.

use std::cell::Cell;
use std::ops::Range;

use super::{Bytes, ZeroPoints};
use crate::buffer::{AlignedBuffer, ThreadBuffer, with_scratch};
use crate::conv::ConvShape;
use crate::gemm_integer::{ByteMatrix, Kernel, PackedRight, Right};
use crate::matrix::{Matrix, MatrixMut};
use crate::parallel::{self, balanced};
use crate::transpose::{transpose, transpose_bytes};
use crate::window::Window;

/// The number of output positions that are multiplied at a time: their windows and results stay in the second-level
/// cache.
const POSITIONS: usize = 224;

thread_local! {
    static UNSIGNED: Cell<AlignedBuffer<u8>> = const { Cell::new(AlignedBuffer::EMPTY) };
    static SIGNED: Cell<AlignedBuffer<i8>> = const { Cell::new(AlignedBuffer::EMPTY) };
}

/// A byte, signed or unsigned.
trait Byte: bytemuck::Pod + Default + Send + Sync {
    /// This thread's buffer of pixels.
    const PIXELS: &'static ThreadBuffer<Self>;

    /// A matrix of such bytes.
    fn matrix(matrix: Matrix<'_, Self>) -> ByteMatrix<'_>;
}

impl Byte for u8 {
    const PIXELS: &'static ThreadBuffer<u8> = &UNSIGNED;

    fn matrix(matrix: Matrix<'_, u8>) -> ByteMatrix<'_> {
        ByteMatrix::U8(matrix)
    }
}

impl Byte for i8 {
    const PIXELS: &'static ThreadBuffer<i8> = &SIGNED;

    fn matrix(matrix: Matrix<'_, i8>) -> ByteMatrix<'_> {
        ByteMatrix::I8(matrix)
    }
}

/// The weights of each group as a right factor: a row for each tap and input channel, a column for each
/// output channel.
pub(super) fn pack(
    kernel: &Kernel,
    shape: &ConvShape,
    window: &Window,
    weights: Bytes<'_>,
) -> Vec<PackedRight> {
    match weights {
        Bytes::U8(weights) => pack_bytes(kernel, shape, window, weights),
        Bytes::I8(weights) => pack_bytes(kernel, shape, window, weights),
    }
}

fn pack_bytes<T: Byte>(
    kernel: &Kernel,
    shape: &ConvShape,
    window: &Window,
    weights: &[T],
) -> Vec<PackedRight> {
    let (in_channels, out_channels, taps) =
        (shape.group_in_channels(), shape.group_out_channels(), window.taps());
    let depth = in_channels * taps;
    let mut by_tap = vec![T::default(); weights.len()];
    for (from, to) in weights.chunks_exact(depth.max(1)).zip(by_tap.chunks_exact_mut(depth.max(1))) {
        transpose(from, in_channels, taps, to);
    }
    let group = |group: usize| {
        let data = &by_tap[group * out_channels * depth..][..out_channels * depth];
        kernel.pack_right(T::matrix(Matrix::row_major(data, out_channels, depth).transposed()))
    };
    (0..shape.groups).map(group).collect()
}

/// `output = finish(channel, Σ (input - zero) · (weights - weight zeros))`, the weights packed group by group.
#[expect(clippy::too_many_arguments, reason = "the operands of a convolution, and how to compute it")]
pub(super) fn conv<U: Send>(
    kernel: &Kernel,
    shape: &ConvShape,
    window: Window,
    input: Bytes<'_>,
    zero: i32,
    weights: &[PackedRight],
    weight_zeros: &[i32],
    output: &mut [U],
    finish: &Finish<'_, U>,
) {
    let layer = Layer { kernel, shape, window, zero, weights, weight_zeros };
    match input {
        Bytes::U8(input) => layer.run(input, zero as u8, output, finish),
        Bytes::I8(input) => layer.run(input, zero as i8, output, finish),
    }
}

/// Converts the sums of some positions of an output channel.
type Finish<'a, U> = dyn Fn(usize, &[i32], &mut [U]) + Sync + 'a;

/// The data that all pieces share.
struct Layer<'a> {
    kernel: &'a Kernel,
    shape: &'a ConvShape,
    window: Window,
    zero: i32,
    weights: &'a [PackedRight],
    weight_zeros: &'a [i32],
}

/// Some output positions of one group of channels of one image, with the slice of each output channel.
struct Piece<'a, T, U> {
    /// The input in `NHWC` order.
    pixels: &'a [T],
    group: usize,
    positions: Range<usize>,
    output: Vec<&'a mut [U]>,
}

impl Layer<'_> {
    fn run<T: Byte, U: Send>(&self, input: &[T], padding: T, output: &mut [U], finish: &Finish<'_, U>) {
        let in_channels = self.shape.group_in_channels();
        let image_len = in_channels * self.window.input_len();
        with_scratch(T::PIXELS, input.len(), |pixels| {
            let images = input.chunks_exact(image_len).zip(pixels.chunks_exact_mut(image_len)).collect();
            parallel::for_each(input.len(), images, |(image, pixels)| {
                let (image, pixels) = (bytemuck::cast_slice(image), bytemuck::cast_slice_mut(pixels));
                transpose_bytes(image, in_channels, self.window.input_len(), pixels);
            });
            self.run_pixels(pixels, padding, output, finish);
        });
    }

    fn run_pixels<T: Byte, U: Send>(
        &self,
        pixels: &[T],
        padding: T,
        output: &mut [U],
        finish: &Finish<'_, U>,
    ) {
        let (in_channels, out_channels) = (self.shape.group_in_channels(), self.shape.group_out_channels());
        let image_len = in_channels * self.window.input_len();
        let operations = output.len() * in_channels * self.window.taps() / 4;
        let mut pieces = Vec::new();
        let outputs = output.chunks_exact_mut(out_channels * self.window.output_len());
        for (i, (pixels, output)) in pixels.chunks_exact(image_len).zip(outputs).enumerate() {
            let (group, first) = (i % self.shape.groups, pieces.len());
            let positions = balanced(self.window.output_len(), POSITIONS);
            pieces.extend(positions.map(|positions| Piece { pixels, group, positions, output: Vec::new() }));
            for mut plane in output.chunks_exact_mut(self.window.output_len()) {
                for piece in &mut pieces[first..] {
                    let (head, tail) = plane.split_at_mut(piece.positions.len());
                    piece.output.push(head);
                    plane = tail;
                }
            }
        }
        parallel::for_each_with(operations, pieces, Scratch::default, |scratch, piece| {
            self.run_piece(piece, padding, scratch, finish);
        });
    }

    fn run_piece<T: Byte, U>(
        &self,
        piece: Piece<'_, T, U>,
        padding: T,
        scratch: &mut Scratch<T>,
        finish: &Finish<'_, U>,
    ) {
        let (in_channels, out_channels) = (self.shape.group_in_channels(), self.shape.group_out_channels());
        let (rows, depth) = (piece.positions.len(), in_channels * self.window.taps());
        let left = if self.window.is_pointwise() {
            &piece.pixels[piece.positions.start * depth..piece.positions.end * depth]
        } else {
            scratch.windows.resize(rows * depth, T::default());
            for (position, target) in piece.positions.zip(scratch.windows.chunks_exact_mut(depth)) {
                copy_window(&self.window, piece.pixels, in_channels, position, padding, target);
            }
            &scratch.windows[..]
        };
        scratch.products.resize(rows * out_channels, 0);
        scratch.by_channel.resize(rows * out_channels, 0);
        let zeros = &self.weight_zeros[piece.group * out_channels..][..out_channels];
        self.kernel.gemm(
            T::matrix(Matrix::row_major(left, rows, depth)),
            ZeroPoints::Scalar(self.zero),
            Right::Packed(&self.weights[piece.group]),
            ZeroPoints::Each(zeros),
            MatrixMut::row_major(&mut scratch.products, rows, out_channels),
        );
        transpose(&scratch.products, rows, out_channels, &mut scratch.by_channel);
        let sums = scratch.by_channel.chunks_exact(rows);
        for (idx, (output, sums)) in piece.output.into_iter().zip(sums).enumerate() {
            finish(piece.group * out_channels + idx, sums, output);
        }
    }
}

/// The working memory of one thread.
#[derive(Default)]
struct Scratch<T> {
    windows: Vec<T>,
    products: Vec<i32>,
    by_channel: Vec<i32>,
}

/// Copies the pixels under the window at one output position.
fn copy_window<T: Copy>(
    window: &Window,
    pixels: &[T],
    channels: usize,
    position: usize,
    padding: T,
    target: &mut [T],
) {
    let [_, rows, columns] = window.output;
    let [_, height, width] = window.input;
    let (depth, row, column) = (position / (rows * columns), position / columns % rows, position % columns);
    // The taps of a row are often adjacent and not on padding; then one copy suffices.
    let first = (column * window.strides[2]).wrapping_sub(window.pads_begin[2]);
    let in_one = window.dilations[2] == 1 && first < width && first + window.kernel[2] <= width;
    for (tap, target) in target.chunks_exact_mut(window.kernel[2] * channels).enumerate() {
        let depth = window.source(0, depth, tap / window.kernel[1]);
        let row = window.source(1, row, tap % window.kernel[1]);
        let Some((depth, row)) = depth.zip(row) else {
            target.fill(padding);
            continue;
        };
        let pixels = &pixels[(depth * height + row) * width * channels..][..width * channels];
        if in_one {
            target.copy_from_slice(&pixels[first * channels..][..target.len()]);
            continue;
        }
        for (tap, target) in target.chunks_exact_mut(channels).enumerate() {
            match window.source(2, column, tap) {
                Some(column) => target.copy_from_slice(&pixels[column * channels..][..channels]),
                None => target.fill(padding),
            }
        }
    }
}
