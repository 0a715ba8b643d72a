//! The NEON tile: 6 pixels by 1 block of 16 channels, which are four vectors; 2 pixels by 2 blocks for small planes.

#![allow(unsafe_code, reason = "128-bit loads and stores through pointers, after run-time detection")]

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::BLOCK;
use super::depthwise::{Columns, DepthwiseRows};
use super::tile::{Finish, Stretch, Tile};
use crate::isa::{Row, allows};

/// The tile, if this machine can run it.
pub(super) fn tile() -> Option<&'static Tile> {
    static TILE: Tile =
        Tile { name: "neon-6x1", fused: true, blocks, pixels, run, depthwise_pixels: 6, run_depthwise };
    (allows(Row::Neon) && is_aarch64_feature_detected!("neon")).then_some(&TILE)
}

const LANES: usize = 4;

/// The vectors of a block.
const OF_BLOCK: usize = BLOCK / LANES;

fn blocks(pixels: usize) -> usize {
    if pixels <= 2 { 2 } else { 1 }
}

fn pixels(blocks: usize) -> usize {
    if blocks > 1 { 2 } else { 6 }
}

fn run(stretch: &Stretch<'_>, pixels: usize, c: &mut [&mut [f32]], first: usize) {
    macro_rules! run_tile {
        ($($pixels:literal x $blocks:literal),*) => {
            match (pixels, c.len()) {
                $(($pixels, $blocks) => {
                    // SAFETY: `run` is reachable only through `tile`, which has detected NEON.
                    unsafe { multiply::<$pixels, $blocks, { OF_BLOCK * $blocks }>(stretch, c, first) }
                })*
                (pixels, blocks) => unreachable!("no tile of {pixels} pixels and {blocks} blocks"),
            }
        };
    }
    run_tile!(1 x 2, 2 x 2, 1 x 1, 2 x 1, 3 x 1, 4 x 1, 5 x 1, 6 x 1);
}

/// `VECTORS` is four for each block.
#[target_feature(enable = "neon")]
fn multiply<const PIXELS: usize, const BLOCKS: usize, const VECTORS: usize>(
    stretch: &Stretch<'_>,
    c: &mut [&mut [f32]],
    first: usize,
) {
    let c: &mut [&mut [f32]; BLOCKS] = c.try_into().expect("the tile was chosen by its blocks");
    stretch.check(PIXELS, c, first);
    let mut sums = [[vdupq_n_f32(0.0); VECTORS]; PIXELS];
    if let Some(bias) = stretch.bias {
        for v in 0..VECTORS {
            // SAFETY: `check` found 16 values for each block.
            let bias = unsafe { vld1q_f32(bias.as_ptr().add(v * LANES)) };
            for sums in &mut sums {
                sums[v] = bias;
            }
        }
    }
    for (p, step) in stretch.steps.values().iter().enumerate() {
        let mut weights = [vdupq_n_f32(0.0); VECTORS];
        for (v, weights) in weights.iter_mut().enumerate() {
            // SAFETY: `check` found 16 weights for each step and block.
            *weights = unsafe { vld1q_f32(stretch.weights.as_ptr().add((p * VECTORS + v) * LANES)) };
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `check` found the furthest step of the last pixel within the input.
            let value = unsafe { *stretch.input.as_ptr().add(*step + i * stretch.pixel) };
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = vfmaq_n_f32(*sum, weights, value);
            }
        }
    }
    for v in 0..VECTORS {
        let (row, part) = (&mut c[v / OF_BLOCK], v % OF_BLOCK * LANES);
        for (i, sums) in sums.iter_mut().enumerate() {
            if stretch.bias.is_none() {
                // SAFETY: `check` found 16 elements for each pixel in each row.
                let before = unsafe { vld1q_f32(row.as_ptr().add(first + i * BLOCK + part)) };
                sums[v] = vaddq_f32(before, sums[v]);
            }
            if let Some(Finish { residual, clamp }) = stretch.finish {
                if let Some(residual) = residual {
                    let start = v / OF_BLOCK * residual.stride + i * BLOCK + part;
                    let summands = residual.data.as_ptr().wrapping_add(start);
                    // SAFETY: `check` found 16 summands for each pixel of each block.
                    sums[v] = vaddq_f32(sums[v], unsafe { vld1q_f32(summands) });
                }
                sums[v] = clamped(sums[v], clamp);
            }
            // SAFETY: `check` found 16 elements for each pixel in each row.
            unsafe { vst1q_f32(row.as_mut_ptr().add(first + i * BLOCK + part), sums[v]) };
        }
    }
}

/// The sums within the bounds; NaN stays NaN, and a zero keeps its sign.
#[target_feature(enable = "neon")]
#[inline]
fn clamped(sums: float32x4_t, clamp: Option<[f32; 2]>) -> float32x4_t {
    let Some([min, max]) = clamp else { return sums };
    let (min, max) = (vdupq_n_f32(min), vdupq_n_f32(max));
    let raised = vbslq_f32(vcltq_f32(sums, min), min, sums);
    vbslq_f32(vcgtq_f32(raised, max), max, raised)
}

fn run_depthwise(rows: &DepthwiseRows<'_>, columns: &Columns, output: &mut [f32]) {
    macro_rules! run_tile {
        ($($pixels:literal),*) => {
            match columns.len() {
                // SAFETY: `run_depthwise` is reachable only through `tile`, which has detected NEON.
                $($pixels => unsafe { combine::<$pixels>(rows, columns, output) })*
                pixels => unreachable!("no tile of {pixels} pixels"),
            }
        };
    }
    run_tile!(1, 2, 3, 4, 5, 6);
}

#[target_feature(enable = "neon")]
fn combine<const PIXELS: usize>(rows: &DepthwiseRows<'_>, columns: &Columns, output: &mut [f32]) {
    rows.check(columns, PIXELS, output);
    let (pixel_step, tap_step, all) = (rows.pixel_step(), rows.tap_step(), (1 << PIXELS) - 1);
    let vectors = |values: *const f32| {
        let mut vectors = [vdupq_n_f32(0.0); OF_BLOCK];
        for (v, vector) in vectors.iter_mut().enumerate() {
            // SAFETY: this is called only with pointers to 16 values.
            *vector = unsafe { vld1q_f32(values.wrapping_add(v * LANES)) };
        }
        vectors
    };
    // `check` found 16 values.
    let bias = vectors(rows.bias.as_ptr());
    for (lines, Finish { residual, clamp }, output) in rows.each(columns, output) {
        let mut sums = [bias; PIXELS];
        for line in lines {
            let input = rows.input.as_ptr().wrapping_add(line.input).wrapping_offset(columns.first);
            for (tap, mask) in columns.masks.iter().enumerate() {
                // `check` found 16 weights for each tap.
                let weights = vectors(rows.weights.as_ptr().wrapping_add(line.weights + tap * BLOCK));
                let input = input.wrapping_add(tap * tap_step);
                for (i, sums) in sums.iter_mut().enumerate() {
                    if *mask == all || mask >> i & 1 == 1 {
                        // The taps that masks select lie in the plane of the input, which `check` found.
                        let values = vectors(input.wrapping_add(i * pixel_step));
                        for ((sum, value), weights) in sums.iter_mut().zip(values).zip(weights) {
                            *sum = vfmaq_f32(*sum, value, weights);
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
                sum = vaddq_f32(sum, unsafe { vld1q_f32(summands.as_ptr().add(i * LANES)) });
            }
            // SAFETY: there are 16 outputs for each pixel.
            unsafe { vst1q_f32(output.add(i * LANES), clamped(sum, clamp)) };
        }
    }
}
