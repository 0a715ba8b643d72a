//! The AVX2 tile: 6 pixels by 1 block of 16 channels, which are two vectors; fewer pixels by 2 blocks for small planes.

#![allow(unsafe_code, reason = "256-bit loads and stores through pointers, after run-time detection")]

use std::arch::x86_64::*;

use super::BLOCK;
use super::depthwise::{Columns, DepthwiseRows};
use super::tile::{Finish, Stretch, Tile};
use crate::isa::{Row, allows};

/// The tile, if this machine can run it.
pub(super) fn tile() -> Option<&'static Tile> {
    static TILE: Tile =
        Tile { name: "avx2-6x1", fused: true, blocks, pixels, run, depthwise_pixels: 6, run_depthwise };
    (allows(Row::Avx2) && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"))
        .then_some(&TILE)
}

const LANES: usize = 8;

fn blocks(pixels: usize) -> usize {
    if pixels <= 3 { 2 } else { 1 }
}

fn pixels(blocks: usize) -> usize {
    if blocks > 1 { 3 } else { 6 }
}

fn run(stretch: &Stretch<'_>, pixels: usize, c: &mut [&mut [f32]], first: usize) {
    macro_rules! run_tile {
        ($($pixels:literal x $blocks:literal),*) => {
            match (pixels, c.len()) {
                $(($pixels, $blocks) => {
                    // SAFETY: `run` is reachable only through `tile`, which has detected AVX2 and FMA.
                    unsafe { multiply::<$pixels, $blocks, { 2 * $blocks }>(stretch, c, first) }
                })*
                (pixels, blocks) => unreachable!("no tile of {pixels} pixels and {blocks} blocks"),
            }
        };
    }
    run_tile!(1 x 2, 2 x 2, 3 x 2, 1 x 1, 2 x 1, 3 x 1, 4 x 1, 5 x 1, 6 x 1);
}

/// `VECTORS` is two for each block.
#[target_feature(enable = "avx2,fma")]
fn multiply<const PIXELS: usize, const BLOCKS: usize, const VECTORS: usize>(
    stretch: &Stretch<'_>,
    c: &mut [&mut [f32]],
    first: usize,
) {
    let c: &mut [&mut [f32]; BLOCKS] = c.try_into().expect("the tile was chosen by its blocks");
    stretch.check(PIXELS, c, first);
    let mut sums = [[_mm256_setzero_ps(); VECTORS]; PIXELS];
    if let Some(bias) = stretch.bias {
        for v in 0..VECTORS {
            // SAFETY: `check` found 16 values for each block.
            let bias = unsafe { _mm256_loadu_ps(bias.as_ptr().add(v * LANES)) };
            for sums in &mut sums {
                sums[v] = bias;
            }
        }
    }
    for (p, step) in stretch.steps.values().iter().enumerate() {
        let mut weights = [_mm256_setzero_ps(); VECTORS];
        for (v, weights) in weights.iter_mut().enumerate() {
            // SAFETY: `check` found 16 weights for each step and block.
            *weights = unsafe { _mm256_loadu_ps(stretch.weights.as_ptr().add((p * VECTORS + v) * LANES)) };
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `check` found the furthest step of the last pixel within the input.
            let value = _mm256_set1_ps(unsafe { *stretch.input.as_ptr().add(*step + i * stretch.pixel) });
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = _mm256_fmadd_ps(value, weights, *sum);
            }
        }
    }
    for v in 0..VECTORS {
        let (row, half) = (&mut c[v / 2], v % 2 * LANES);
        for (i, sums) in sums.iter_mut().enumerate() {
            if stretch.bias.is_none() {
                // SAFETY: `check` found 16 elements for each pixel in each row.
                let before = unsafe { _mm256_loadu_ps(row.as_ptr().add(first + i * BLOCK + half)) };
                sums[v] = _mm256_add_ps(before, sums[v]);
            }
            if let Some(Finish { residual, clamp }) = stretch.finish {
                if let Some(residual) = residual {
                    let at = residual.data.as_ptr().wrapping_add(v / 2 * residual.stride + i * BLOCK + half);
                    // SAFETY: `check` found 16 summands for each pixel of each block.
                    sums[v] = _mm256_add_ps(sums[v], unsafe { _mm256_loadu_ps(at) });
                }
                if let Some([min, max]) = clamp {
                    let (min, max) = (_mm256_set1_ps(min), _mm256_set1_ps(max));
                    // The second operand is the result if one is NaN or both are zeros.
                    sums[v] = _mm256_min_ps(max, _mm256_max_ps(min, sums[v]));
                }
            }
            // SAFETY: `check` found 16 elements for each pixel in each row.
            unsafe { _mm256_storeu_ps(row.as_mut_ptr().add(first + i * BLOCK + half), sums[v]) };
        }
    }
}

fn run_depthwise(rows: &DepthwiseRows<'_>, columns: &Columns, output: &mut [f32]) {
    macro_rules! run_tile {
        ($($pixels:literal),*) => {
            match columns.len() {
                // SAFETY: `run_depthwise` is reachable only through `tile`, which has detected AVX2 and FMA.
                $($pixels => unsafe { combine::<$pixels>(rows, columns, output) })*
                pixels => unreachable!("no tile of {pixels} pixels"),
            }
        };
    }
    run_tile!(1, 2, 3, 4, 5, 6);
}

#[target_feature(enable = "avx2,fma")]
fn combine<const PIXELS: usize>(rows: &DepthwiseRows<'_>, columns: &Columns, output: &mut [f32]) {
    rows.check(columns, PIXELS, output);
    let (pixel_step, tap_step, all) = (rows.pixel_step(), rows.tap_step(), (1 << PIXELS) - 1);
    // SAFETY: `check` found 16 values.
    let bias = unsafe { [0, LANES].map(|half| _mm256_loadu_ps(rows.bias.as_ptr().add(half))) };
    for (lines, Finish { residual, clamp }, output) in rows.each(columns, output) {
        let mut sums = [bias; PIXELS];
        for line in lines {
            let input = rows.input.as_ptr().wrapping_add(line.input).wrapping_offset(columns.first);
            for (tap, mask) in columns.masks.iter().enumerate() {
                let weights = rows.weights.as_ptr().wrapping_add(line.weights + tap * BLOCK);
                // SAFETY: `check` found 16 weights for each tap.
                let weights = unsafe { [0, LANES].map(|half| _mm256_loadu_ps(weights.add(half))) };
                let input = input.wrapping_add(tap * tap_step);
                for (i, sums) in sums.iter_mut().enumerate() {
                    if *mask == all || mask >> i & 1 == 1 {
                        for (half, (sum, weights)) in sums.iter_mut().zip(weights).enumerate() {
                            let values = input.wrapping_add(i * pixel_step + half * LANES);
                            // SAFETY: the taps that masks select lie in the plane of the input, which `check` found.
                            *sum = _mm256_fmadd_ps(unsafe { _mm256_loadu_ps(values) }, weights, *sum);
                        }
                    }
                }
            }
        }
        let residual = residual.map(|residual| &residual.data[..PIXELS * BLOCK]);
        let output = output[..PIXELS * BLOCK].as_mut_ptr();
        for (i, sum) in sums.as_flattened().iter().enumerate() {
            let mut sum = *sum;
            if let Some(summands) = residual {
                // SAFETY: there are 16 summands for each pixel.
                sum = _mm256_add_ps(sum, unsafe { _mm256_loadu_ps(summands.as_ptr().add(i * LANES)) });
            }
            if let Some([min, max]) = clamp {
                // The second operand is the result if one is NaN or both are zeros.
                sum = _mm256_min_ps(_mm256_set1_ps(max), _mm256_max_ps(_mm256_set1_ps(min), sum));
            }
            // SAFETY: there are 16 outputs for each pixel.
            unsafe { _mm256_storeu_ps(output.add(i * LANES), sum) };
        }
    }
}
