//! The AVX-512 VNNI tile: 14 rows by 32 columns, four products of bytes at a time.

#![allow(unsafe_code, reason = "512-bit loads and stores through pointers, after run-time detection")]

use std::arch::x86_64::*;

use super::{Columns, Place, Rows, RunTile, Tile};
use crate::epilogue::Target;
use crate::isa::{Row, allows};

/// The tile, if this machine can run it.
pub(super) fn tile() -> Option<&'static Tile> {
    static TILE: Tile = Tile {
        name: "avx512vnni-14x32",
        rows: 14,
        columns: 2 * LANES,
        products: 16,
        run: RunTile::Quads(run),
    };
    is_available().then_some(&TILE)
}

/// Whether this machine has the instructions.
pub(crate) fn is_available() -> bool {
    allows(Row::Avx512)
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

const LANES: usize = 16;

fn run(rows: Rows<'_, u8>, weights: &[i8], columns: Columns<'_>, place: Place<'_>) {
    macro_rules! run_tile {
        ($($rows:literal / $chains:literal),*) => {
            match (rows.starts.len(), rows.is_signed, columns.count <= LANES) {
                // SAFETY: `run` is reachable only through `tile`, which has detected AVX-512 VNNI.
                $(($rows, false, false) => unsafe { multiply::<$rows, 2, $chains, false>(rows, weights, columns, place) },)*
                // SAFETY: as above.
                $(($rows, true, false) => unsafe { multiply::<$rows, 2, $chains, true>(rows, weights, columns, place) },)*
                // SAFETY: as above.
                $(($rows, false, true) => unsafe { multiply::<$rows, 1, $chains, false>(rows, weights, columns, place) },)*
                // SAFETY: as above.
                $(($rows, true, true) => unsafe { multiply::<$rows, 1, $chains, true>(rows, weights, columns, place) },)*
                (rows, ..) => unreachable!("no tile of {rows} rows"),
            }
        };
    }
    run_tile!(
        1 / 4,
        2 / 2,
        3 / 2,
        4 / 1,
        5 / 1,
        6 / 1,
        7 / 1,
        8 / 1,
        9 / 1,
        10 / 1,
        11 / 1,
        12 / 1,
        13 / 1,
        14 / 1
    );
}

/// `VECTORS` of columns are not only padding; with few rows, several `CHAINS` of sums hide the latency of an addition.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn multiply<const ROWS: usize, const VECTORS: usize, const CHAINS: usize, const SIGNED: bool>(
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
    let mut sums = [[[_mm512_setzero_si512(); VECTORS]; ROWS]; CHAINS];
    for v in 0..VECTORS {
        // SAFETY: `place.check` found 32 initial sums.
        let start = unsafe { _mm512_loadu_si512(columns.start.as_ptr().add(v * LANES).cast()) };
        for row in &mut sums[0] {
            row[v] = start;
        }
    }
    // Multiplies one group of weights, at `at` in each row.
    macro_rules! multiply_group {
        ($sums:expr, $weights:expr, $at:expr) => {
            let mut vectors = [_mm512_setzero_si512(); VECTORS];
            for (v, vector) in vectors.iter_mut().enumerate() {
                // SAFETY: the arrays have 64 bytes each.
                *vector = unsafe { _mm512_loadu_si512($weights[v].as_ptr().cast()) };
            }
            for (start, sums) in starts.iter().zip($sums.iter_mut()) {
                // SAFETY: `rows.check` found every run within the source.
                let quad = unsafe { start.wrapping_add($at).cast::<i32>().read_unaligned() };
                let quad = _mm512_set1_epi32(quad);
                // Adds 128 to signed bytes.
                let quad = if SIGNED { _mm512_xor_si512(quad, _mm512_set1_epi8(-128)) } else { quad };
                for (sum, weights) in sums.iter_mut().zip(vectors) {
                    *sum = _mm512_dpbusd_epi32(*sum, quad, weights);
                }
            }
        };
    }
    let mut weights = weights;
    for start in &runs.starts {
        let (of_run, more) = weights.split_at(runs.groups);
        weights = more;
        let (blocks, rest) = of_run.as_chunks::<CHAINS>();
        let mut at = *start;
        for block in blocks {
            for (weights, sums) in block.iter().zip(&mut sums) {
                multiply_group!(sums, weights, at);
                at += 4;
            }
        }
        for weights in rest {
            multiply_group!(sums[0], weights, at);
            at += 4;
        }
    }
    let &[mut total, ref more @ ..] = sums.as_slice() else { unreachable!("there is a chain") };
    for more in more {
        for (total, more) in total.as_flattened_mut().iter_mut().zip(more.as_flattened()) {
            *total = _mm512_add_epi32(*total, *more);
        }
    }
    // The epilogue is written here, since a call would move all sums through memory.
    let mut factors = [_mm512_setzero_ps(); 2];
    for (v, factor) in factors.iter_mut().enumerate().take(VECTORS) {
        // SAFETY: `place.check` found 32 factors.
        *factor = unsafe { _mm512_loadu_ps(columns.factors.as_ptr().add(v * LANES)) };
    }
    let Place { target, stride } = place;
    match target {
        Target::Bytes(bytes, store) => {
            let zero = _mm512_set1_epi16(store.zero.into());
            let [min, max, flip] =
                [store.min, store.max, store.flip].map(|byte| _mm512_set1_epi8(byte as i8));
            // A panel is packed within its 128-bit lanes: this puts the four lanes of each vector side by side.
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let mask = (u64::MAX >> (64 - columns.count.max(1))) as __mmask32;
            let whole = |row: [__m512i; VECTORS]| {
                [row[0], if VECTORS == 2 { row[1] } else { _mm512_setzero_si512() }]
            };
            macro_rules! store_rows {
                ($limited:literal) => {
                    for i in (0..ROWS).step_by(2) {
                        let upper = words::<$limited>(whole(total[i]), factors, zero);
                        let lower = if i + 1 < ROWS {
                            words::<$limited>(whole(total[i + 1]), factors, zero)
                        } else {
                            upper
                        };
                        let both = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(upper, lower));
                        let both = _mm512_xor_si512(_mm512_min_epu8(_mm512_max_epu8(both, min), max), flip);
                        let halves = [_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64::<1>(both)];
                        for (half, row) in halves.into_iter().zip(i..ROWS) {
                            let to = bytes.as_mut_ptr().wrapping_add(row * stride);
                            if columns.count == 2 * LANES {
                                // SAFETY: `place.check` found space for the columns of each row.
                                unsafe { _mm256_storeu_si256(to.cast(), half) };
                            } else {
                                // SAFETY: as above; the mask selects the columns.
                                unsafe { _mm256_mask_storeu_epi8(to.cast(), mask, half) };
                            }
                        }
                    }
                };
            }
            if columns.is_limited {
                store_rows!(true);
            } else {
                store_rows!(false);
            }
        }
        Target::Floats(floats) => {
            for v in 0..VECTORS {
                let count = columns.count.saturating_sub(v * LANES).min(LANES);
                let mask = ((1u32 << count) - 1) as __mmask16;
                for (i, row) in total.iter().enumerate() {
                    let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(row[v]), factors[v]);
                    let to = floats.as_mut_ptr().wrapping_add(i * stride + v * LANES);
                    // SAFETY: `place.check` found space for the columns of each row, which the mask selects.
                    unsafe { _mm512_mask_storeu_ps(to, mask, scaled) };
                }
            }
        }
    }
}

/// 32 scaled sums as 16-bit numbers plus `zero`, within 128-bit lanes; what is beyond these saturates.
/// Scaled sums beyond 32 bits need the limit: the conversion makes the smallest number of them, with either sign.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
pub(crate) fn words<const LIMITED: bool>(sums: [__m512i; 2], factors: [__m512; 2], zero: __m512i) -> __m512i {
    let steps = |sum: __m512i, factor: __m512| {
        let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), factor);
        let scaled = if LIMITED { _mm512_min_ps(scaled, _mm512_set1_ps(32767.0)) } else { scaled };
        _mm512_cvtps_epi32(scaled)
    };
    let [low, high] = [steps(sums[0], factors[0]), steps(sums[1], factors[1])];
    _mm512_adds_epi16(_mm512_packs_epi32(low, high), zero)
}
