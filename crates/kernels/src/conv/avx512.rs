//! Depthwise convolution straight out of the input planes: masked loads stand for the padding beside a row.
//! For windows of three by three and five by five that move sideways by one or two;
//! [`depthwise`](super::depthwise) does the others.

#![allow(unsafe_code, reason = "masked 512-bit loads and stores through pointers, behind run-time detection")]

use std::arch::x86_64::*;

use super::ConvShape;
use crate::parallel;
use crate::window::Window;

/// Whether this machine can run it.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// Whether it covers such a window.
pub(super) fn supports(shape: &ConvShape) -> bool {
    matches!(shape.kernel[..], [3, 3] | [5, 5]) && matches!(shape.strides[..], [_, 1 | 2])
}

/// `output = bias + input * weights`, with as many groups as input channels.
///
/// # Panics
/// If this machine cannot run it, or it does not support the window.
pub(super) fn conv(
    shape: &ConvShape,
    window: &Window,
    input: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    assert!(is_available() && supports(shape), "the table was not asked");
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
    let chunks: Vec<[Place; TAPS]> =
        (0..window.output[2]).step_by(LANES).map(|first| places(window, first)).collect();
    let operations = output.len() * window.taps() * parallel::TAP_COST;
    let multiplier = shape.group_out_channels();
    let planes = output.chunks_exact_mut(window.output_len()).enumerate().collect();
    parallel::for_each(operations, planes, |(i, output)| {
        let channel = i % shape.out_channels;
        let input = &input[i / multiplier * window.input_len()..][..window.input_len()];
        let weights = &weights[channel * window.taps()..][..window.taps()];
        let start = bias.map_or(0.0, |bias| bias[channel]);
        // SAFETY: `conv` has detected AVX-512; the places are those of the window.
        unsafe { plane::<TAPS, TAPS_AND_ONE, STRIDE>(window, &chunks, input, weights, start, output) };
    });
}

const LANES: usize = 16;

/// Where the lanes of a chunk of output columns find one tap in a row: from `first` on, where the masks say.
#[derive(Clone, Copy)]
struct Place {
    first: isize,
    masks: [__mmask16; 2],
}

/// Where the output columns from `column` on find the taps of a row.
fn places<const TAPS: usize>(window: &Window, column: usize) -> [Place; TAPS] {
    let width = window.input[2];
    std::array::from_fn(|tap| {
        let padded = column * window.strides[2] + tap * window.dilations[2];
        let first = padded as isize - window.pads_begin[2] as isize;
        Place { first, masks: [mask(first, width), mask(first + LANES as isize, width)] }
    })
}

/// One output channel.
///
/// # Safety
/// The masks of the chunks name elements of rows of the input.
#[target_feature(enable = "avx512f")]
unsafe fn plane<const TAPS: usize, const TAPS_AND_ONE: usize, const STRIDE: usize>(
    window: &Window,
    chunks: &[[Place; TAPS]],
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
    // Two rows of the output share what they read, if the window moves down one by one.
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
            // SAFETY: the caller vouches for the masks.
            unsafe { combine_rows::<TAPS, TAPS_AND_ONE, 2, STRIDE>(chunks, read, &broadcast, start, output) };
            row += 2;
            continue;
        }
        let output = &mut output[..columns];
        if first < height && last < height {
            let read = input_rows::<TAPS>(input, width, first, dilation);
            // SAFETY: the caller vouches for the masks.
            unsafe { combine_rows::<TAPS, TAPS, 1, STRIDE>(chunks, read, &broadcast, start, [output]) };
        } else {
            // SAFETY: the caller vouches for the masks.
            unsafe {
                combine_border_row::<TAPS, STRIDE>(window, row, chunks, input, &broadcast, start, output)
            };
        }
        row += 1;
    }
}

/// Some rows of the input, `step` apart.
#[inline]
fn input_rows<const READ: usize>(input: &[f32], width: usize, first: usize, step: usize) -> [&[f32]; READ] {
    let mut rows = [input; READ];
    for (i, row) in rows.iter_mut().enumerate() {
        *row = &input[(first + i * step) * width..][..width];
    }
    rows
}

/// A row of the output of which some taps fall on padding.
///
/// # Safety
/// The masks of the chunks name elements of rows of the input.
#[target_feature(enable = "avx512f")]
unsafe fn combine_border_row<const TAPS: usize, const STRIDE: usize>(
    window: &Window,
    row: usize,
    chunks: &[[Place; TAPS]],
    input: &[f32],
    weights: &[[__m512; TAPS]; TAPS],
    start: f32,
    output: &mut [f32],
) {
    let width = window.input[2];
    for (places, output) in chunks.iter().zip(output.chunks_mut(LANES)) {
        let mut sum = _mm512_set1_ps(start);
        for (tap, weights) in weights.iter().enumerate() {
            let Some(row) = window.source(1, row, tap) else { continue };
            let row = &input[row * width..][..width];
            for (place, weight) in places.iter().zip(weights) {
                // SAFETY: the caller vouches for the masks.
                let values = unsafe { load::<STRIDE>(row.as_ptr(), *place) };
                sum = _mm512_fmadd_ps(values, *weight, sum);
            }
        }
        // SAFETY: the mask names elements of the slice only.
        unsafe { _mm512_mask_storeu_ps(output.as_mut_ptr(), mask(0, output.len()), sum) };
    }
}

/// Some rows of the output, of which each reads one row further down than the one before.
///
/// # Safety
/// The masks of the chunks name elements of the rows that are read.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn combine_rows<const TAPS: usize, const READ: usize, const ROWS: usize, const STRIDE: usize>(
    chunks: &[[Place; TAPS]],
    read: [&[f32]; READ],
    weights: &[[__m512; TAPS]; TAPS],
    start: f32,
    mut output: [&mut [f32]; ROWS],
) {
    // A copy that nothing else refers to stays in registers.
    let weights = *weights;
    for (chunk, places) in chunks.iter().enumerate() {
        let mut sums = [_mm512_set1_ps(start); ROWS];
        for (i, row) in read.iter().enumerate() {
            for (k, place) in places.iter().enumerate() {
                // SAFETY: the caller vouches for the masks.
                let values = unsafe { load::<STRIDE>(row.as_ptr(), *place) };
                for (o, sum) in sums.iter_mut().enumerate() {
                    if (o..o + TAPS).contains(&i) {
                        *sum = _mm512_fmadd_ps(values, weights[i - o][k], *sum);
                    }
                }
            }
        }
        for (row, sum) in output.iter_mut().zip(sums) {
            let row = &mut row[chunk * LANES..];
            // SAFETY: the mask names elements of the row only.
            unsafe { _mm512_mask_storeu_ps(row.as_mut_ptr(), mask(0, row.len()), sum) };
        }
    }
}

/// The elements at `first`, `first + STRIDE`, … of a row, zero where the masks are.
///
/// # Safety
/// Where a mask is set, the row has an element.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn load<const STRIDE: usize>(row: *const f32, place: Place) -> __m512 {
    let first = row.wrapping_offset(place.first);
    // SAFETY: the caller vouches for the lanes of the mask; the others are not touched.
    let low = unsafe { _mm512_maskz_loadu_ps(place.masks[0], first) };
    if STRIDE == 1 {
        return low;
    }
    let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    // SAFETY: as above.
    let high = unsafe { _mm512_maskz_loadu_ps(place.masks[1], first.wrapping_add(LANES)) };
    _mm512_permutex2var_ps(low, even, high)
}

/// The lanes `i` for which `first + i` is in `0..len`.
fn mask(first: isize, len: usize) -> __mmask16 {
    let lane = |position: isize| (position - first).clamp(0, LANES as isize) as u32;
    let (begin, end) = (lane(0), lane(len as isize));
    (((1u32 << end) - 1) & !((1u32 << begin) - 1)) as __mmask16
}
