//! The AVX-512 tile: 14 pixels by 2 blocks of 16 channels, fewer pixels by more blocks for small planes.

#![allow(unsafe_code, reason = "512-bit loads and stores through pointers, after run-time detection")]

use std::arch::x86_64::*;

use super::BLOCK;
use super::depthwise::{Columns, DepthwiseRows};
use super::tile::{Finish, Residual, Stretch, Tile};
use crate::isa::{Row, allows};

/// The tile, if this machine can run it.
pub(super) fn tile() -> Option<&'static Tile> {
    static TILE: Tile =
        Tile { name: "avx512-14x2", fused: true, blocks, pixels, run, depthwise_pixels: 14, run_depthwise };
    (allows(Row::Avx512) && is_x86_feature_detected!("avx512f")).then_some(&TILE)
}

fn blocks(pixels: usize) -> usize {
    match pixels {
        0..=2 => 8,
        3..=6 => 4,
        7..=9 => 3,
        _ => 2,
    }
}

fn pixels(blocks: usize) -> usize {
    match blocks {
        8.. => 2,
        4.. => 6,
        3 => 9,
        2 => 14,
        _ => 28,
    }
}

fn run(stretch: &Stretch<'_>, pixels: usize, c: &mut [&mut [f32]], first: usize) {
    macro_rules! run_tile {
        ($($pixels:literal x $blocks:literal),*) => {
            match (pixels, c.len(), stretch.pixel) {
                // SAFETY: `run` is reachable only through `tile`, which has detected AVX-512.
                $(($pixels, $blocks, BLOCK) => unsafe { multiply::<$pixels, $blocks, BLOCK>(stretch, c, first) },
                // SAFETY: as above.
                ($pixels, $blocks, 1) => unsafe { multiply::<$pixels, $blocks, 1>(stretch, c, first) },)*
                (pixels, blocks, _) => unreachable!("no tile of {pixels} pixels and {blocks} blocks"),
            }
        };
    }
    run_tile!(
        1 x 8, 2 x 8, 1 x 4, 2 x 4, 3 x 4, 4 x 4, 5 x 4, 6 x 4,
        1 x 3, 2 x 3, 3 x 3, 4 x 3, 5 x 3, 6 x 3, 7 x 3, 8 x 3, 9 x 3,
        1 x 2, 2 x 2, 3 x 2, 4 x 2, 5 x 2, 6 x 2, 7 x 2, 8 x 2, 9 x 2, 10 x 2, 11 x 2, 12 x 2, 13 x 2, 14 x 2,
        1 x 1, 2 x 1, 3 x 1, 4 x 1, 5 x 1, 6 x 1, 7 x 1, 8 x 1, 9 x 1, 10 x 1, 11 x 1, 12 x 1, 13 x 1, 14 x 1,
        15 x 1, 16 x 1, 17 x 1, 18 x 1, 19 x 1, 20 x 1, 21 x 1, 22 x 1, 23 x 1, 24 x 1, 25 x 1, 26 x 1, 27 x 1, 28 x 1
    );
}

/// `PIXEL` is `stretch.pixel`.
#[target_feature(enable = "avx512f")]
fn multiply<const PIXELS: usize, const BLOCKS: usize, const PIXEL: usize>(
    stretch: &Stretch<'_>,
    c: &mut [&mut [f32]],
    first: usize,
) {
    assert_eq!(stretch.pixel, PIXEL, "the tile was chosen by the distance of its pixels");
    let c: &mut [&mut [f32]; BLOCKS] = c.try_into().expect("the tile was chosen by its blocks");
    stretch.check(PIXELS, c, first);
    let mut sums = [[_mm512_setzero_ps(); BLOCKS]; PIXELS];
    if let Some(bias) = stretch.bias {
        // SAFETY: `check` found 16 values for each block.
        each(&mut sums, |_, v, _| unsafe { _mm512_loadu_ps(bias.as_ptr().add(v * BLOCK)) });
    }
    for (p, step) in stretch.steps.values().iter().enumerate() {
        let mut weights = [_mm512_setzero_ps(); BLOCKS];
        for (v, weights) in weights.iter_mut().enumerate() {
            // SAFETY: `check` found 16 weights for each step and block.
            *weights = unsafe { _mm512_loadu_ps(stretch.weights.as_ptr().add((p * BLOCKS + v) * BLOCK)) };
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `check` found the furthest step of the last pixel within the input.
            let value = _mm512_set1_ps(unsafe { *stretch.input.as_ptr().add(*step + i * PIXEL) });
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = _mm512_fmadd_ps(value, weights, *sum);
            }
        }
    }
    let targets = c.each_mut().map(|row| row[first..].as_mut_ptr());
    if stretch.bias.is_none() {
        // SAFETY: `check` found 16 elements for each pixel in each row.
        let before = |i: usize, v: usize| unsafe { _mm512_loadu_ps(targets[v].add(i * BLOCK)) };
        each(&mut sums, |i, v, sum| _mm512_add_ps(before(i, v), sum));
    }
    if let Some(Finish { residual, clamp }) = stretch.finish {
        if let Some(Residual { data, stride }) = residual {
            let summands: [*const f32; BLOCKS] =
                std::array::from_fn(|v| data.as_ptr().wrapping_add(v * stride));
            // SAFETY: `check` found 16 summands for each pixel of each block.
            let summand = |i: usize, v: usize| unsafe { _mm512_loadu_ps(summands[v].add(i * BLOCK)) };
            each(&mut sums, |i, v, sum| _mm512_add_ps(sum, summand(i, v)));
        }
        if let Some([min, max]) = clamp {
            let (min, max) = (_mm512_set1_ps(min), _mm512_set1_ps(max));
            // The second operand is the result if one is NaN or both are zeros.
            each(&mut sums, |_, _, sum| _mm512_min_ps(max, _mm512_max_ps(min, sum)));
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (target, sum) in targets.iter().zip(sums) {
            // SAFETY: `check` found 16 elements for each pixel in each row.
            unsafe { _mm512_storeu_ps(target.add(i * BLOCK), *sum) };
        }
    }
}

/// Replaces the sum of each pixel and block; must be inlined into `multiply`.
#[inline(always)]
fn each<const PIXELS: usize, const BLOCKS: usize>(
    sums: &mut [[__m512; BLOCKS]; PIXELS],
    value: impl Fn(usize, usize, __m512) -> __m512,
) {
    for (i, sums) in sums.iter_mut().enumerate() {
        for (v, sum) in sums.iter_mut().enumerate() {
            *sum = value(i, v, *sum);
        }
    }
}

fn run_depthwise(rows: &DepthwiseRows<'_>, columns: &Columns, output: &mut [f32]) {
    macro_rules! run_tile {
        ($($pixels:literal),*) => {
            match (columns.len(), rows.pixel_step()) {
                // SAFETY: `run_depthwise` is reachable only through `tile`, which has detected AVX-512.
                $(($pixels, BLOCK) => unsafe { combine::<$pixels, BLOCK>(rows, columns, output) },
                // SAFETY: as above.
                ($pixels, TWO_BLOCKS) => unsafe { combine::<$pixels, TWO_BLOCKS>(rows, columns, output) },
                // SAFETY: as above.
                ($pixels, _) => unsafe { combine::<$pixels, ANY>(rows, columns, output) },)*
                (pixels, _) => unreachable!("no tile of {pixels} pixels"),
            }
        };
    }
    run_tile!(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);
}

const TWO_BLOCKS: usize = 2 * BLOCK;
const ANY: usize = 0;

/// `STEP` is [`pixel_step`](DepthwiseRows::pixel_step), or `ANY`.
#[target_feature(enable = "avx512f")]
fn combine<const PIXELS: usize, const STEP: usize>(
    rows: &DepthwiseRows<'_>,
    columns: &Columns,
    output: &mut [f32],
) {
    rows.check(columns, PIXELS, output);
    let step = if STEP == ANY { rows.pixel_step() } else { STEP };
    assert_eq!(step, rows.pixel_step(), "the tile was chosen by the distance of its pixels");
    let (tap_step, all) = (rows.tap_step(), (1 << PIXELS) - 1);
    // SAFETY: `check` found 16 values.
    let bias = unsafe { _mm512_loadu_ps(rows.bias.as_ptr()) };
    for (lines, Finish { residual, clamp }, output) in rows.each(columns, output) {
        let mut sums = [bias; PIXELS];
        for line in lines {
            let input = rows.input.as_ptr().wrapping_add(line.input).wrapping_offset(columns.first);
            for (tap, mask) in columns.masks.iter().enumerate() {
                // SAFETY: `check` found 16 weights for each tap.
                let weights =
                    unsafe { _mm512_loadu_ps(rows.weights.as_ptr().add(line.weights + tap * BLOCK)) };
                let input = input.wrapping_add(tap * tap_step);
                if *mask == all {
                    for (i, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: the taps that masks select lie in the plane of the input, which `check` found.
                        let values = unsafe { _mm512_loadu_ps(input.wrapping_add(i * step)) };
                        *sum = _mm512_fmadd_ps(values, weights, *sum);
                    }
                    continue;
                }
                for (i, sum) in sums.iter_mut().enumerate() {
                    if mask >> i & 1 == 1 {
                        // SAFETY: as above.
                        let values = unsafe { _mm512_loadu_ps(input.wrapping_add(i * step)) };
                        *sum = _mm512_fmadd_ps(values, weights, *sum);
                    }
                }
            }
        }
        if let Some(residual) = residual {
            let summands = residual.data[..PIXELS * BLOCK].as_ptr();
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: there are 16 summands for each pixel.
                *sum = _mm512_add_ps(*sum, unsafe { _mm512_loadu_ps(summands.add(i * BLOCK)) });
            }
        }
        if let Some([min, max]) = clamp {
            let (min, max) = (_mm512_set1_ps(min), _mm512_set1_ps(max));
            // The second operand is the result if one is NaN or both are zeros.
            for sum in &mut sums {
                *sum = _mm512_min_ps(max, _mm512_max_ps(min, *sum));
            }
        }
        let output = output[..PIXELS * BLOCK].as_mut_ptr();
        for (i, sum) in sums.iter().enumerate() {
            // SAFETY: there are 16 outputs for each pixel.
            unsafe { _mm512_storeu_ps(output.add(i * BLOCK), *sum) };
        }
    }
}
