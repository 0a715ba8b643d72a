//! The AVX2 tile: 6 rows by 16 columns, two products of 16-bit numbers at a time, which is exact.
//! The instruction that multiplies bytes saturates, so it is not used.

#![allow(unsafe_code, reason = "256-bit loads and stores through pointers, after run-time detection")]

use std::arch::x86_64::*;

use super::tile::{RunTile, Tile};
use crate::gemm::{Start, check_tile};
use crate::isa::{Row, allows};

/// The tile, if this machine can run it.
pub(super) fn tile() -> Option<&'static Tile> {
    static TILE: Tile = Tile { name: "avx2-6x16", rows: 6, columns: 2 * LANES, run: RunTile::Pairs(run) };
    (allows(Row::Avx2) && is_x86_feature_detected!("avx2")).then_some(&TILE)
}

const LANES: usize = 8;

fn run(left: &[i16], right: &[i16], start: Start<'_, i32>, c: &mut [&mut [i32]], column: usize) {
    macro_rules! run_tile {
        ($($rows:literal),*) => {
            match c.len() {
                // SAFETY: `run` is reachable only through `tile`, which has detected AVX2.
                $($rows => unsafe { multiply::<$rows>(left, right, start, c, column) },)*
                rows => unreachable!("no tile of {rows} rows"),
            }
        };
    }
    run_tile!(1, 2, 3, 4, 5, 6);
}

#[target_feature(enable = "avx2")]
fn multiply<const ROWS: usize>(
    left: &[i16],
    right: &[i16],
    start: Start<'_, i32>,
    c: &mut [&mut [i32]],
    column: usize,
) {
    let c: &mut [&mut [i32]; ROWS] = c.try_into().expect("the tile was chosen by its rows");
    check_tile(start, c, column, 2 * LANES);
    let left = left.as_chunks::<2>().0.as_chunks::<ROWS>().0;
    let right = right.as_chunks::<{ 2 * LANES }>().0.as_chunks::<2>().0;
    assert_eq!(left.len(), right.len(), "the panels differ in depth");
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    match start {
        Start::Zero => {}
        // SAFETY: `check_tile` found 16 columns from `column` on in each row.
        Start::Continue => each(&mut sums, |i, j| unsafe { load(c[i].as_ptr().add(column + j)) }),
        Start::Rows(values) => each(&mut sums, |i, _| _mm256_set1_epi32(values[i])),
        // SAFETY: `check_tile` found 16 values.
        Start::Columns(values) => each(&mut sums, |_, j| unsafe { load(values.as_ptr().add(j)) }),
    }
    for (pairs, [low, high]) in left.iter().zip(right) {
        // SAFETY: the arrays have 32 bytes each.
        let columns = unsafe { [load(low.as_ptr().cast()), load(high.as_ptr().cast())] };
        for (pair, sums) in pairs.iter().zip(&mut sums) {
            // SAFETY: the array has 4 bytes.
            let pair = _mm256_set1_epi32(unsafe { pair.as_ptr().cast::<i32>().read_unaligned() });
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pair, column));
            }
        }
    }
    for (row, sums) in c.iter_mut().zip(sums) {
        for (v, sum) in sums.into_iter().enumerate() {
            // SAFETY: `check_tile` found 16 columns from `column` on in each row.
            unsafe { _mm256_storeu_si256(row.as_mut_ptr().add(column + v * LANES).cast(), sum) };
        }
    }
}

/// Sets the sum of each row and vector from its row and first column; must be inlined into `multiply`.
#[inline(always)]
fn each<const ROWS: usize>(sums: &mut [[__m256i; 2]; ROWS], value: impl Fn(usize, usize) -> __m256i) {
    for (i, sums) in sums.iter_mut().enumerate() {
        for (v, sum) in sums.iter_mut().enumerate() {
            *sum = value(i, v * LANES);
        }
    }
}

/// Eight numbers from a pointer.
///
/// # Safety
/// There are eight.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn load(numbers: *const i32) -> __m256i {
    // SAFETY: the caller guarantees the numbers.
    unsafe { _mm256_loadu_si256(numbers.cast()) }
}
