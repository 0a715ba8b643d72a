//! The tile of the Armv8.2 dot product: 6 rows by 16 columns, four products of signed bytes at a time.

#![allow(unsafe_code, reason = "128-bit loads through pointers, after run-time detection")]

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::neon::{COLUMNS, LANES, VECTORS, initial, store};
use super::{Columns, Place, Rows, RunTile, Tile};
use crate::isa::arm::sdot;
use crate::isa::{Row, allows};

/// The tile, if this machine can run it.
pub(super) fn tile() -> Option<&'static Tile> {
    static TILE: Tile =
        Tile { name: "dotprod-6x16", rows: 6, columns: COLUMNS, products: 4, run: RunTile::SignedQuads(run) };
    let is_detected = is_aarch64_feature_detected!("neon") && is_aarch64_feature_detected!("dotprod");
    (allows(Row::Dotprod) && is_detected).then_some(&TILE)
}

fn run(rows: Rows<'_, u8>, weights: &[i8], columns: Columns<'_>, place: Place<'_>) {
    macro_rules! run_tile {
        ($($rows:literal),*) => {
            match (rows.starts.len(), rows.is_signed) {
                // SAFETY: `run` is reachable only through `tile`, which has detected the dot product.
                $(($rows, false) => unsafe { multiply::<$rows, false>(rows, weights, columns, place) },)*
                // SAFETY: as above.
                $(($rows, true) => unsafe { multiply::<$rows, true>(rows, weights, columns, place) },)*
                (rows, _) => unreachable!("no tile of {rows} rows"),
            }
        };
    }
    run_tile!(1, 2, 3, 4, 5, 6);
}

#[target_feature(enable = "neon,dotprod")]
fn multiply<const ROWS: usize, const SIGNED: bool>(
    rows: Rows<'_, u8>,
    weights: &[i8],
    columns: Columns<'_>,
    place: Place<'_>,
) {
    let starts: [*const u8; ROWS] = rows.check();
    place.check(ROWS, columns, COLUMNS);
    let runs = rows.runs;
    let weights = weights.as_chunks::<{ 4 * LANES }>().0.as_chunks::<VECTORS>().0;
    assert_eq!(weights.len(), runs.starts.len() * runs.groups, "the panel has another depth");
    let mut sums = [initial(columns); ROWS];
    let mut weights = weights;
    for start in &runs.starts {
        let (of_run, more) = weights.split_at(runs.groups);
        weights = more;
        let mut at = *start;
        for group in of_run {
            let mut vectors = [vdupq_n_s8(0); VECTORS];
            for (vector, weights) in vectors.iter_mut().zip(group) {
                // SAFETY: the array has 16 bytes.
                *vector = unsafe { vld1q_s8(weights.as_ptr()) };
            }
            for (start, sums) in starts.iter().zip(&mut sums) {
                // SAFETY: `rows.check` found every run within the source.
                let quad = unsafe { start.wrapping_add(at).cast::<i32>().read_unaligned() };
                let quad = vreinterpretq_s8_s32(vdupq_n_s32(quad));
                // Subtracts 128 from unsigned bytes.
                let quad = if SIGNED { quad } else { veorq_s8(quad, vdupq_n_s8(-128)) };
                for (sum, weights) in sums.iter_mut().zip(vectors) {
                    *sum = sdot(*sum, quad, weights);
                }
            }
            at += 4;
        }
    }
    store(sums, columns, place);
}
