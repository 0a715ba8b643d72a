//! The NEON tile: 6 rows by 16 columns, products of 16-bit numbers that are added as 32 bits, which is exact; and the
//! first and last steps of 128-bit tiles.

#![allow(unsafe_code, reason = "128-bit loads and stores through pointers, after run-time detection")]

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::tile::{RunTile, Tile};
use crate::gemm::{Start, check_tile};
use crate::isa::arm::add_pair;
use crate::isa::{Row, allows};

/// The tile, if this machine can run it.
pub(super) fn tile() -> Option<&'static Tile> {
    static TILE: Tile = Tile { name: "neon-6x16", rows: 6, columns: COLUMNS, run: RunTile::Pairs(run) };
    (allows(Row::Neon) && is_aarch64_feature_detected!("neon")).then_some(&TILE)
}

pub(super) const LANES: usize = 4;
pub(super) const VECTORS: usize = 4;
pub(super) const COLUMNS: usize = VECTORS * LANES;

fn run(left: &[i16], right: &[i16], start: Start<'_, i32>, c: &mut [&mut [i32]], column: usize) {
    macro_rules! run_tile {
        ($($rows:literal),*) => {
            match c.len() {
                // SAFETY: `run` is reachable only through `tile`, which has detected NEON.
                $($rows => unsafe { multiply::<$rows>(left, right, start, c, column) },)*
                rows => unreachable!("no tile of {rows} rows"),
            }
        };
    }
    run_tile!(1, 2, 3, 4, 5, 6);
}

#[target_feature(enable = "neon")]
fn multiply<const ROWS: usize>(
    left: &[i16],
    right: &[i16],
    start: Start<'_, i32>,
    c: &mut [&mut [i32]],
    column: usize,
) {
    let c: &mut [&mut [i32]; ROWS] = c.try_into().expect("the tile was chosen by its rows");
    check_tile(start, c, column, COLUMNS);
    let left = left.as_chunks::<2>().0.as_chunks::<ROWS>().0;
    let right = right.as_chunks::<COLUMNS>().0.as_chunks::<2>().0;
    assert_eq!(left.len(), right.len(), "the panels differ in depth");
    let mut sums = initial(start, c, column);
    for (pairs, [low, high]) in left.iter().zip(right) {
        // SAFETY: the arrays have 32 bytes each.
        let columns = unsafe { [vld2q_s16(low.as_ptr()), vld2q_s16(high.as_ptr())] };
        for (pair, sums) in pairs.iter().zip(&mut sums) {
            // SAFETY: the array has four bytes.
            let pair = unsafe { pair.as_ptr().cast::<i32>().read_unaligned() };
            add_pair(sums, vreinterpret_s16_s32(vdup_n_s32(pair)), columns);
        }
    }
    store(sums, c, column);
}

/// The sums before the first product; `check_tile` has accepted the operands.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn initial<const ROWS: usize>(
    start: Start<'_, i32>,
    c: &[&mut [i32]; ROWS],
    column: usize,
) -> [[int32x4_t; VECTORS]; ROWS] {
    let mut sums = [[vdupq_n_s32(0); VECTORS]; ROWS];
    for (i, sums) in sums.iter_mut().enumerate() {
        let values = match start {
            Start::Zero => continue,
            Start::Rows(values) => {
                *sums = [vdupq_n_s32(values[i]); VECTORS];
                continue;
            }
            Start::Continue => &c[i][column..],
            Start::Columns(values) => values,
        };
        let (values, _) = values[..COLUMNS].as_chunks::<LANES>();
        for (sum, values) in sums.iter_mut().zip(values) {
            // SAFETY: the array has 16 bytes.
            *sum = unsafe { vld1q_s32(values.as_ptr()) };
        }
    }
    sums
}

/// Writes the sums of a tile.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn store<const ROWS: usize>(
    sums: [[int32x4_t; VECTORS]; ROWS],
    c: &mut [&mut [i32]; ROWS],
    column: usize,
) {
    for (row, sums) in c.iter_mut().zip(sums) {
        let (to, _) = row[column..][..COLUMNS].as_chunks_mut::<LANES>();
        for (to, sum) in to.iter_mut().zip(sums) {
            // SAFETY: the array has 16 bytes.
            unsafe { vst1q_s32(to.as_mut_ptr(), sum) };
        }
    }
}
