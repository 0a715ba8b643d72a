//! The NEON tile: 6 rows by 16 columns, products of 16-bit numbers that are added as 32 bits, which is exact; and the
//! epilogue of 128-bit tiles.

#![allow(unsafe_code, reason = "128-bit loads and stores through pointers, after run-time detection")]

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::{Columns, Place, Rows, RunTile, Tile};
use crate::epilogue::Target;
use crate::isa::arm::add_pair;
use crate::isa::{Row, allows};

/// The tile, if this machine can run it.
pub(super) fn tile() -> Option<&'static Tile> {
    static TILE: Tile =
        Tile { name: "neon-6x16", rows: 6, columns: COLUMNS, products: 2, run: RunTile::Pairs(run) };
    (allows(Row::Neon) && is_aarch64_feature_detected!("neon")).then_some(&TILE)
}

pub(super) const LANES: usize = 4;
pub(super) const VECTORS: usize = 4;
pub(super) const COLUMNS: usize = VECTORS * LANES;

fn run(rows: Rows<'_, i16>, weights: &[i16], columns: Columns<'_>, place: Place<'_>) {
    macro_rules! run_tile {
        ($($rows:literal),*) => {
            match rows.starts.len() {
                // SAFETY: `run` is reachable only through `tile`, which has detected NEON.
                $($rows => unsafe { multiply::<$rows>(rows, weights, columns, place) },)*
                rows => unreachable!("no tile of {rows} rows"),
            }
        };
    }
    run_tile!(1, 2, 3, 4, 5, 6);
}

#[target_feature(enable = "neon")]
fn multiply<const ROWS: usize>(rows: Rows<'_, i16>, weights: &[i16], columns: Columns<'_>, place: Place<'_>) {
    let starts: [*const i16; ROWS] = rows.check();
    place.check(ROWS, columns, COLUMNS);
    let runs = rows.runs;
    let weights = weights.as_chunks::<COLUMNS>().0.as_chunks::<2>().0;
    assert_eq!(weights.len(), runs.starts.len() * runs.groups, "the panel has another depth");
    let mut sums = [initial(columns); ROWS];
    let mut weights = weights;
    for start in &runs.starts {
        let (of_run, more) = weights.split_at(runs.groups);
        weights = more;
        let mut at = *start;
        for [low, high] in of_run {
            // SAFETY: the arrays have 32 bytes each.
            let vectors = unsafe { [vld2q_s16(low.as_ptr()), vld2q_s16(high.as_ptr())] };
            for (start, sums) in starts.iter().zip(&mut sums) {
                // SAFETY: `rows.check` found every run within the source.
                let pair = unsafe { start.wrapping_add(at).cast::<i32>().read_unaligned() };
                add_pair(sums, vreinterpret_s16_s32(vdup_n_s32(pair)), vectors);
            }
            at += 2;
        }
    }
    store(sums, columns, place);
}

/// The initial sums of a row.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn initial(columns: Columns<'_>) -> [int32x4_t; VECTORS] {
    let mut sums = [vdupq_n_s32(0); VECTORS];
    for (sum, start) in sums.iter_mut().zip(columns.start.as_chunks::<LANES>().0) {
        // SAFETY: the array has 16 bytes.
        *sum = unsafe { vld1q_s32(start.as_ptr()) };
    }
    sums
}

/// Writes a tile of 16 columns.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn store<const ROWS: usize>(
    sums: [[int32x4_t; VECTORS]; ROWS],
    columns: Columns<'_>,
    place: Place<'_>,
) {
    let mut factors = [vdupq_n_f32(0.0); VECTORS];
    for (vector, factors) in factors.iter_mut().zip(columns.factors.as_chunks::<LANES>().0) {
        // SAFETY: the array has 16 bytes.
        *vector = unsafe { vld1q_f32(factors.as_ptr()) };
    }
    let Place { target, stride } = place;
    match target {
        Target::Floats(floats) => {
            for (i, row) in sums.iter().enumerate() {
                let mut scaled = [[0.0; LANES]; VECTORS];
                for ((scaled, sum), factor) in scaled.iter_mut().zip(row).zip(factors) {
                    // SAFETY: the array has 16 bytes.
                    unsafe { vst1q_f32(scaled.as_mut_ptr(), vmulq_f32(vcvtq_f32_s32(*sum), factor)) };
                }
                let scaled = &scaled.as_flattened()[..columns.count];
                floats[i * stride..][..columns.count].copy_from_slice(scaled);
            }
        }
        Target::Bytes(bytes, store) => {
            let zero = vdupq_n_s16(store.zero.into());
            let (min, max, flip) = (vdupq_n_u8(store.min), vdupq_n_u8(store.max), vdupq_n_u8(store.flip));
            // Every step to a narrower type saturates.
            let narrowed = |sum, factor| vqmovn_s32(vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sum), factor)));
            let half = |low, high| vqmovun_s16(vqaddq_s16(vcombine_s16(low, high), zero));
            for (i, row) in sums.iter().enumerate() {
                let low = half(narrowed(row[0], factors[0]), narrowed(row[1], factors[1]));
                let high = half(narrowed(row[2], factors[2]), narrowed(row[3], factors[3]));
                let steps = veorq_u8(vminq_u8(vmaxq_u8(vcombine_u8(low, high), min), max), flip);
                let mut row = [0; COLUMNS];
                // SAFETY: the array has 16 bytes.
                unsafe { vst1q_u8(row.as_mut_ptr(), steps) };
                let to = &mut bytes[i * stride..];
                match to.first_chunk_mut() {
                    Some(to) if columns.count == COLUMNS => *to = row,
                    _ => to[..columns.count].copy_from_slice(&row[..columns.count]),
                }
            }
        }
    }
}
