//! The tile of the Armv8.2 dot product: 6 rows by 16 columns, four products of signed bytes at a time.

#![allow(unsafe_code, reason = "128-bit loads and stores through pointers, after run-time detection")]

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::Bytes;
use super::neon::{COLUMNS, LANES, VECTORS, initial, store};
use super::tile::{LeftRows, RunTile, Tile};
use crate::gemm::{Start, check_tile};
use crate::isa::arm::sdot;
use crate::isa::{Row, allows};

/// The tile, if this machine can run it.
pub(super) fn tile() -> Option<&'static Tile> {
    static TILE: Tile =
        Tile { name: "dotprod-6x16", rows: 6, columns: COLUMNS, run: RunTile::SignedQuads(run) };
    let is_detected = is_aarch64_feature_detected!("neon") && is_aarch64_feature_detected!("dotprod");
    (allows(Row::Dotprod) && is_detected).then_some(&TILE)
}

fn run(left: LeftRows<'_>, right: &[i8], start: Start<'_, i32>, c: &mut [&mut [i32]], column: usize) {
    macro_rules! run_tile {
        ($($rows:literal),*) => {
            match (c.len(), left.bytes) {
                // SAFETY: `run` is reachable only through `tile`, which has detected the dot product.
                $(($rows, Bytes::U8(_)) => unsafe { multiply::<$rows, false>(left, right, start, c, column) },)*
                // SAFETY: as above.
                $(($rows, Bytes::I8(_)) => unsafe { multiply::<$rows, true>(left, right, start, c, column) },)*
                (rows, _) => unreachable!("no tile of {rows} rows"),
            }
        };
    }
    run_tile!(1, 2, 3, 4, 5, 6);
}

#[target_feature(enable = "neon,dotprod")]
fn multiply<const ROWS: usize, const SIGNED: bool>(
    left: LeftRows<'_>,
    right: &[i8],
    start: Start<'_, i32>,
    c: &mut [&mut [i32]],
    column: usize,
) {
    let c: &mut [&mut [i32]; ROWS] = c.try_into().expect("the tile was chosen by its rows");
    check_tile(start, c, column, COLUMNS);
    let bytes = left.check(ROWS);
    // Computed before the sums exist, since a call would spill these from their registers.
    let tails: [i32; ROWS] =
        if left.depth.is_multiple_of(4) { [0; ROWS] } else { std::array::from_fn(|row| left.tail(row)) };
    let right = right.as_chunks::<{ 4 * LANES }>().0.as_chunks::<VECTORS>().0;
    assert_eq!(right.len(), left.depth.div_ceil(4), "the panel has another depth");
    let mut sums = initial(start, c, column);
    let (whole, rest) = right.split_at(left.depth / 4);
    for (group, columns) in whole.iter().enumerate() {
        let columns = vectors(columns);
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `left.check` found the whole depth of the row within the bytes.
            let quad = unsafe { bytes.add(i * left.row_stride + group * 4).cast::<i32>().read_unaligned() };
            add_quad::<SIGNED>(sums, quad, columns);
        }
    }
    if let [columns] = rest {
        let columns = vectors(columns);
        for (tail, sums) in tails.into_iter().zip(&mut sums) {
            add_quad::<SIGNED>(sums, tail, columns);
        }
    }
    store(sums, c, column);
}

/// The bytes of a group: four of each column.
#[target_feature(enable = "neon")]
#[inline]
fn vectors(columns: &[[i8; 4 * LANES]; VECTORS]) -> [int8x16_t; VECTORS] {
    let mut vectors = [vdupq_n_s8(0); VECTORS];
    for (vector, columns) in vectors.iter_mut().zip(columns) {
        // SAFETY: the array has 16 bytes.
        *vector = unsafe { vld1q_s8(columns.as_ptr()) };
    }
    vectors
}

/// Adds the products of four bytes of a row, from which 128 is subtracted if they are unsigned.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn add_quad<const SIGNED: bool>(sums: &mut [int32x4_t; VECTORS], quad: i32, columns: [int8x16_t; VECTORS]) {
    let quad = vreinterpretq_s8_s32(vdupq_n_s32(quad));
    let quad = if SIGNED { quad } else { veorq_s8(quad, vdupq_n_s8(-128)) };
    for (sum, columns) in sums.iter_mut().zip(columns) {
        *sum = sdot(*sum, quad, columns);
    }
}
