//! The AVX2 tile: 6 rows by 16 columns, two products of 16-bit numbers at a time, which is exact; and the epilogue of
//! 256-bit tiles.
//! The instruction that multiplies bytes saturates, so it is not used.

#![allow(unsafe_code, reason = "256-bit loads and stores through pointers, after run-time detection")]

use std::arch::x86_64::*;

use super::{Columns, Place, Rows, RunTile, Tile};
use crate::epilogue::Target;
use crate::isa::{Row, allows};

/// The tile, if this machine can run it.
pub(super) fn tile() -> Option<&'static Tile> {
    static TILE: Tile =
        Tile { name: "avx2-6x16", rows: 6, columns: 2 * LANES, products: 4, run: RunTile::Pairs(run) };
    (allows(Row::Avx2) && is_x86_feature_detected!("avx2")).then_some(&TILE)
}

pub(super) const LANES: usize = 8;

fn run(rows: Rows<'_, i16>, weights: &[i16], columns: Columns<'_>, place: Place<'_>) {
    macro_rules! run_tile {
        ($($rows:literal),*) => {
            match rows.starts.len() {
                // SAFETY: `run` is reachable only through `tile`, which has detected AVX2.
                $($rows => unsafe { multiply::<$rows>(rows, weights, columns, place) },)*
                rows => unreachable!("no tile of {rows} rows"),
            }
        };
    }
    run_tile!(1, 2, 3, 4, 5, 6);
}

#[target_feature(enable = "avx2")]
fn multiply<const ROWS: usize>(rows: Rows<'_, i16>, weights: &[i16], columns: Columns<'_>, place: Place<'_>) {
    let starts: [*const i16; ROWS] = rows.check();
    place.check(ROWS, columns, 2 * LANES);
    let runs = rows.runs;
    let weights = weights.as_chunks::<{ 2 * LANES }>().0.as_chunks::<2>().0;
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
                let pair = unsafe { start.wrapping_add(at).cast::<i32>().read_unaligned() };
                let pair = _mm256_set1_epi32(pair);
                for (sum, weights) in sums.iter_mut().zip(vectors) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pair, weights));
                }
            }
            at += 2;
        }
    }
    store(sums, columns, place);
}

/// The initial sums of a row; must be inlined into code with AVX2.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn initial(columns: Columns<'_>) -> [__m256i; 2] {
    let (start, _) = columns.start.as_chunks::<LANES>();
    // SAFETY: the arrays have 32 bytes each.
    unsafe { [_mm256_loadu_si256(start[0].as_ptr().cast()), _mm256_loadu_si256(start[1].as_ptr().cast())] }
}

/// Writes a tile of 16 columns.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn store<const ROWS: usize>(sums: [[__m256i; 2]; ROWS], columns: Columns<'_>, place: Place<'_>) {
    let (factors, _) = columns.factors.as_chunks::<LANES>();
    // SAFETY: the arrays have 32 bytes each.
    let factors = unsafe { [_mm256_loadu_ps(factors[0].as_ptr()), _mm256_loadu_ps(factors[1].as_ptr())] };
    let Place { target, stride } = place;
    match target {
        Target::Floats(floats) => {
            for (i, row) in sums.iter().enumerate() {
                let mut scaled = [[0.0; LANES]; 2];
                for ((scaled, sum), factor) in scaled.iter_mut().zip(row).zip(factors) {
                    let product = _mm256_mul_ps(_mm256_cvtepi32_ps(*sum), factor);
                    // SAFETY: the array has 32 bytes.
                    unsafe { _mm256_storeu_ps(scaled.as_mut_ptr(), product) };
                }
                let scaled = &scaled.as_flattened()[..columns.count];
                floats[i * stride..][..columns.count].copy_from_slice(scaled);
            }
        }
        Target::Bytes(bytes, store) => {
            let zero = _mm256_set1_epi16(store.zero.into());
            let [min, max, flip] =
                [store.min, store.max, store.flip].map(|byte| _mm256_set1_epi8(byte as i8));
            // A panel is packed within its 128-bit lanes: this puts the lanes of each vector side by side.
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            // A row as 16-bit numbers; what is beyond them saturates, a float beyond 32 bits below to the smallest.
            let words = |row: [__m256i; 2]| {
                let mut steps = [_mm256_setzero_si256(); 2];
                for ((steps, sum), factor) in steps.iter_mut().zip(row).zip(factors) {
                    let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), factor);
                    *steps = _mm256_cvtps_epi32(_mm256_min_ps(scaled, _mm256_set1_ps(32767.0)));
                }
                _mm256_adds_epi16(_mm256_packs_epi32(steps[0], steps[1]), zero)
            };
            for i in (0..ROWS).step_by(2) {
                let upper = words(sums[i]);
                let lower = if i + 1 < ROWS { words(sums[i + 1]) } else { upper };
                let both = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(upper, lower), order);
                let both = _mm256_min_epu8(_mm256_max_epu8(both, min), max);
                let both = _mm256_xor_si256(both, flip);
                let mut rows = [[0; 2 * LANES]; 2];
                // SAFETY: the arrays have 32 bytes.
                unsafe { _mm256_storeu_si256(rows.as_mut_ptr().cast(), both) };
                for (row, i) in rows.iter().zip(i..ROWS) {
                    let to = &mut bytes[i * stride..];
                    match to.first_chunk_mut() {
                        Some(to) if columns.count == 2 * LANES => *to = *row,
                        _ => to[..columns.count].copy_from_slice(&row[..columns.count]),
                    }
                }
            }
        }
    }
}
