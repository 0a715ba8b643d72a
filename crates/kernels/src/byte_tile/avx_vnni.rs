//! The AVX-VNNI tile: 6 rows by 16 columns, four products of bytes at a time.

#![allow(unsafe_code, reason = "256-bit loads through pointers, after run-time detection")]

use std::arch::x86_64::*;

use super::avx2::{LANES, initial, store};
use super::{Columns, Place, Rows, RunTile, Tile};
use crate::isa::{Row, allows};

/// The tile, if this machine can run it.
pub(super) fn tile() -> Option<&'static Tile> {
    static TILE: Tile =
        Tile { name: "avxvnni-6x16", rows: 6, columns: 2 * LANES, products: 8, run: RunTile::Quads(run) };
    (allows(Row::AvxVnni) && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni"))
        .then_some(&TILE)
}

fn run(rows: Rows<'_, u8>, weights: &[i8], columns: Columns<'_>, place: Place<'_>) {
    macro_rules! run_tile {
        ($($rows:literal),*) => {
            match (rows.starts.len(), rows.is_signed) {
                // SAFETY: `run` is reachable only through `tile`, which has detected AVX-VNNI.
                $(($rows, false) => unsafe { multiply::<$rows, false>(rows, weights, columns, place) },)*
                // SAFETY: as above.
                $(($rows, true) => unsafe { multiply::<$rows, true>(rows, weights, columns, place) },)*
                (rows, _) => unreachable!("no tile of {rows} rows"),
            }
        };
    }
    run_tile!(1, 2, 3, 4, 5, 6);
}

#[target_feature(enable = "avx2,avxvnni")]
fn multiply<const ROWS: usize, const SIGNED: bool>(
    rows: Rows<'_, u8>,
    weights: &[i8],
    columns: Columns<'_>,
    place: Place<'_>,
) {
    let starts: [*const u8; ROWS] = rows.check();
    place.check(ROWS, columns, 2 * LANES);
    let runs = rows.runs;
    let weights = weights.as_chunks::<{ 4 * LANES }>().0.as_chunks::<2>().0;
    assert_eq!(weights.len(), runs.starts.len() * runs.groups, "the panel has another depth");
    let mut sums = [initial(columns); ROWS];
    let mut weights = weights;
    for start in &runs.starts {
        let (of_run, more) = weights.split_at(runs.groups);
        weights = more;
        let mut at = *start;
        for [low, high] in of_run {
            // SAFETY: the arrays have 32 bytes each.
            let vectors = unsafe {
                [_mm256_loadu_si256(low.as_ptr().cast()), _mm256_loadu_si256(high.as_ptr().cast())]
            };
            for (start, sums) in starts.iter().zip(&mut sums) {
                // SAFETY: `rows.check` found every run within the source.
                let quad = unsafe { start.wrapping_add(at).cast::<i32>().read_unaligned() };
                let quad = _mm256_set1_epi32(quad);
                // Adds 128 to signed bytes.
                let quad = if SIGNED { _mm256_xor_si256(quad, _mm256_set1_epi8(-128)) } else { quad };
                for (sum, weights) in sums.iter_mut().zip(vectors) {
                    *sum = _mm256_dpbusd_avx_epi32(*sum, quad, weights);
                }
            }
            at += 4;
        }
    }
    store(sums, columns, place);
}
