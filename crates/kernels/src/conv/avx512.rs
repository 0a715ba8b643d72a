//! Depthwise convolution directly on the input planes: masked loads replace the padding beside a row.
//! Supports windows of 3 × 3 and 5 × 5 with a horizontal stride of 1 or 2; [`depthwise`](super::depthwise) covers the
//! others.

#![allow(unsafe_code, reason = "masked 512-bit loads and stores through pointers, after run-time detection")]

use std::arch::x86_64::*;

use super::ConvShape;
use crate::isa::{Row, allows};
use crate::parallel;
use crate::window::Window;

/// Whether this machine can run it.
pub(super) fn is_available() -> bool {
    allows(Row::Avx512) && is_x86_feature_detected!("avx512f")
}

/// Whether it supports the window.
pub(super) fn supports(shape: &ConvShape) -> bool {
    matches!(shape.kernel[..], [3, 3] | [5, 5]) && matches!(shape.strides[..], [_, 1 | 2])
}

/// `output = bias + input * weights`, with as many groups as input channels.
///
/// # Panics
/// If the processor lacks AVX-512, or the window is not supported.
pub(super) fn conv(
    shape: &ConvShape,
    window: &Window,
    input: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    assert!(is_available() && supports(shape), "the table checks this before it selects the kernel");
    match (window.kernel[2], window.strides[2]) {
        (3, 1) => planes::<3, 4, 1>(shape, window, input, weights, bias, output),
        (3, _) => planes::<3, 4, 2>(shape, window, input, weights, bias, output),
        (_, 1) => planes::<5, 6, 1>(shape, window, input, weights, bias, output),
        (_, _) => planes::<5, 6, 2>(shape, window, input, weights, bias, output),
    }
}

/// All channels; `TAPS_AND_ONE` is one more than `TAPS`.
fn planes<const TAPS: usize, const TAPS_AND_ONE: usize, const STRIDE: usize>(
    shape: &ConvShape,
    window: &Window,
    input: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    let chunks: Vec<[Tap; TAPS]> =
        (0..window.output[2]).step_by(LANES).map(|first| taps(window, first)).collect();
    let operations = output.len() * window.taps() * parallel::TAP_COST;
    let multiplier = shape.group_out_channels();
    let planes = output.chunks_exact_mut(window.output_len()).enumerate().collect();
    parallel::for_each(operations, planes, |(i, output)| {
        let channel = i % shape.out_channels;
        let input = &input[i / multiplier * window.input_len()..][..window.input_len()];
        let weights = &weights[channel * window.taps()..][..window.taps()];
        let start = bias.map_or(0.0, |bias| bias[channel]);
        // SAFETY: `conv` has detected AVX-512, and `taps` computes the masks from the window.
        unsafe { plane::<TAPS, TAPS_AND_ONE, STRIDE>(window, &chunks, input, weights, start, output) };
    });
}

const LANES: usize = 16;

/// The elements of an input row for one tap and a chunk of output columns: those from `first` that the masks select.
#[derive(Clone, Copy)]
struct Tap {
    first: isize,
    masks: [__mmask16; 2],
}

/// The taps of a row for the output columns from `column` on.
fn taps<const TAPS: usize>(window: &Window, column: usize) -> [Tap; TAPS] {
    let width = window.input[2];
    std::array::from_fn(|tap| {
        let padded = column * window.strides[2] + tap * window.dilations[2];
        let first = padded as isize - window.pads_begin[2] as isize;
        Tap { first, masks: [mask(first, width), mask(first + LANES as isize, width)] }
    })
}

/// One output channel.
///
/// # Safety
/// The masks of the chunks select only elements of the input's rows.
#[target_feature(enable = "avx512f")]
unsafe fn plane<const TAPS: usize, const TAPS_AND_ONE: usize, const STRIDE: usize>(
    window: &Window,
    chunks: &[[Tap; TAPS]],
    input: &[f32],
    weights: &[f32],
    start: f32,
    output: &mut [f32],
) {
    let ([_, height, width], [_, rows, columns]) = (window.input, window.output);
    let (stride, dilation) = (window.strides[1], window.dilations[1]);
    let mut broadcast = [[_mm512_setzero_ps(); TAPS]; TAPS];
    for (weight, value) in broadcast.as_flattened_mut().iter_mut().zip(weights) {
        *weight = _mm512_set1_ps(*value);
    }
    // With a vertical stride of 1, two rows of the output use the same input rows.
    let shared = (stride, dilation) == (1, 1);
    let mut row = 0;
    while row < rows {
        let first = (row * stride).wrapping_sub(window.pads_begin[1]);
        let last = first.wrapping_add((TAPS - 1) * dilation);
        let output = &mut output[row * columns..];
        if shared && row + 1 < rows && first < height && last + 1 < height {
            let (upper, lower) = output.split_at_mut(columns);
            let read = input_rows::<TAPS_AND_ONE>(input, width, first, 1);
            let output = [upper, &mut lower[..columns]];
            // SAFETY: the caller guarantees the masks.
            unsafe { combine_rows::<TAPS, TAPS_AND_ONE, 2, STRIDE>(chunks, read, &broadcast, start, output) };
            row += 2;
            continue;
        }
        let output = &mut output[..columns];
        if first < height && last < height {
            let read = input_rows::<TAPS>(input, width, first, dilation);
            // SAFETY: the caller guarantees the masks.
            unsafe { combine_rows::<TAPS, TAPS, 1, STRIDE>(chunks, read, &broadcast, start, [output]) };
        } else {
            // SAFETY: the caller guarantees the masks.
            unsafe {
                combine_border_row::<TAPS, STRIDE>(window, row, chunks, input, &broadcast, start, output)
            };
        }
        row += 1;
    }
}

/// Rows of the input at a distance of `step` rows.
#[inline]
fn input_rows<const READ: usize>(input: &[f32], width: usize, first: usize, step: usize) -> [&[f32]; READ] {
    let mut rows = [input; READ];
    for (i, row) in rows.iter_mut().enumerate() {
        *row = &input[(first + i * step) * width..][..width];
    }
    rows
}

/// A row of the output for which some taps are on padding.
///
/// # Safety
/// The masks of the chunks select only elements of the input's rows.
#[target_feature(enable = "avx512f")]
unsafe fn combine_border_row<const TAPS: usize, const STRIDE: usize>(
    window: &Window,
    row: usize,
    chunks: &[[Tap; TAPS]],
    input: &[f32],
    weights: &[[__m512; TAPS]; TAPS],
    start: f32,
    output: &mut [f32],
) {
    let width = window.input[2];
    for (taps, output) in chunks.iter().zip(output.chunks_mut(LANES)) {
        let mut sum = _mm512_set1_ps(start);
        for (tap, weights) in weights.iter().enumerate() {
            let Some(row) = window.source(1, row, tap) else { continue };
            let row = &input[row * width..][..width];
            for (tap, weight) in taps.iter().zip(weights) {
                // SAFETY: the caller guarantees the masks.
                let values = unsafe { load::<STRIDE>(row.as_ptr(), *tap) };
                sum = _mm512_fmadd_ps(values, *weight, sum);
            }
        }
        // SAFETY: the mask selects only elements of the slice.
        unsafe { _mm512_mask_storeu_ps(output.as_mut_ptr(), mask(0, output.len()), sum) };
    }
}

/// Rows of the output; each reads the input one row below the previous one.
///
/// # Safety
/// The masks of the chunks select only elements of the rows that are read.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn combine_rows<const TAPS: usize, const READ: usize, const ROWS: usize, const STRIDE: usize>(
    chunks: &[[Tap; TAPS]],
    read: [&[f32]; READ],
    weights: &[[__m512; TAPS]; TAPS],
    start: f32,
    mut output: [&mut [f32]; ROWS],
) {
    // A local copy without other references stays in registers.
    let weights = *weights;
    for (chunk, taps) in chunks.iter().enumerate() {
        let mut sums = [_mm512_set1_ps(start); ROWS];
        for (i, row) in read.iter().enumerate() {
            for (k, tap) in taps.iter().enumerate() {
                // SAFETY: the caller guarantees the masks.
                let values = unsafe { load::<STRIDE>(row.as_ptr(), *tap) };
                for (o, sum) in sums.iter_mut().enumerate() {
                    if (o..o + TAPS).contains(&i) {
                        *sum = _mm512_fmadd_ps(values, weights[i - o][k], *sum);
                    }
                }
            }
        }
        for (row, sum) in output.iter_mut().zip(sums) {
            let row = &mut row[chunk * LANES..];
            // SAFETY: the mask selects only elements of the row.
            unsafe { _mm512_mask_storeu_ps(row.as_mut_ptr(), mask(0, row.len()), sum) };
        }
    }
}

/// The elements at `first`, `first + STRIDE`, … of a row, or zero where the mask is 0.
///
/// # Safety
/// Where a mask is set, the row has an element.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn load<const STRIDE: usize>(row: *const f32, tap: Tap) -> __m512 {
    let first = row.wrapping_offset(tap.first);
    // SAFETY: the caller guarantees the lanes of the mask; the others are not read.
    let low = unsafe { _mm512_maskz_loadu_ps(tap.masks[0], first) };
    if STRIDE == 1 {
        return low;
    }
    let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    // SAFETY: as above.
    let high = unsafe { _mm512_maskz_loadu_ps(tap.masks[1], first.wrapping_add(LANES)) };
    _mm512_permutex2var_ps(low, even, high)
}

/// The lanes `i` for which `first + i` is in `0..len`.
fn mask(first: isize, len: usize) -> __mmask16 {
    let lane = |position: isize| (position - first).clamp(0, LANES as isize) as u32;
    let (begin, end) = (lane(0), lane(len as isize));
    (((1u32 << end) - 1) & !((1u32 << begin) - 1)) as __mmask16
}
