//! The AVX-512 VNNI tile: 14 rows by 32 columns, four products of bytes at a time.

#![allow(unsafe_code, reason = "512-bit loads and stores through pointers, after run-time detection")]

use std::arch::x86_64::*;

use super::Bytes;
use super::tile::{LeftRows, RunTile, Tile};
use crate::gemm::{Start, check_tile};
use crate::isa::{Row, allows};

/// The tile, if this machine can run it.
pub(super) fn tile() -> Option<&'static Tile> {
    static TILE: Tile =
        Tile { name: "avx512vnni-14x32", rows: 14, columns: 2 * LANES, run: RunTile::Quads(run) };
    (allows(Row::Avx512) && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni"))
        .then_some(&TILE)
}

const LANES: usize = 16;

fn run(left: LeftRows<'_>, right: &[i8], start: Start<'_, i32>, c: &mut [&mut [i32]], column: usize) {
    macro_rules! run_tile {
        ($($rows:literal),*) => {
            match (c.len(), left.bytes) {
                // SAFETY: `run` is reachable only through `tile`, which has detected AVX-512 VNNI.
                $(($rows, Bytes::U8(_)) => unsafe { multiply::<$rows, false>(left, right, start, c, column) },)*
                // SAFETY: as above.
                $(($rows, Bytes::I8(_)) => unsafe { multiply::<$rows, true>(left, right, start, c, column) },)*
                (rows, _) => unreachable!("no tile of {rows} rows"),
            }
        };
    }
    run_tile!(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn multiply<const ROWS: usize, const SIGNED: bool>(
    left: LeftRows<'_>,
    right: &[i8],
    start: Start<'_, i32>,
    c: &mut [&mut [i32]],
    column: usize,
) {
    let c: &mut [&mut [i32]; ROWS] = c.try_into().expect("the tile was chosen by its rows");
    check_tile(start, c, column, 2 * LANES);
    let bytes = left.check(ROWS);
    // Computed before the sums exist, since a call would spill these from their registers.
    let tails: [i32; ROWS] =
        if left.depth.is_multiple_of(4) { [0; ROWS] } else { std::array::from_fn(|row| left.tail(row)) };
    let right = right.as_chunks::<{ 4 * LANES }>().0.as_chunks::<2>().0;
    assert_eq!(right.len(), left.depth.div_ceil(4), "the panel has another depth");
    // Adds 128 to signed bytes.
    let unsigned = |quad: i32| {
        let quad = _mm512_set1_epi32(quad);
        if SIGNED { _mm512_xor_si512(quad, _mm512_set1_epi8(-128)) } else { quad }
    };
    let mut sums = [[_mm512_setzero_si512(); 2]; ROWS];
    match start {
        Start::Zero => {}
        // SAFETY: `check_tile` found 32 columns from `column` on in each row.
        Start::Continue => each(&mut sums, |i, j| unsafe { load(c[i].as_ptr().add(column + j)) }),
        Start::Rows(values) => each(&mut sums, |i, _| _mm512_set1_epi32(values[i])),
        // SAFETY: `check_tile` found 32 values.
        Start::Columns(values) => each(&mut sums, |_, j| unsafe { load(values.as_ptr().add(j)) }),
    }
    let (whole, rest) = right.split_at(left.depth / 4);
    for (group, [low, high]) in whole.iter().enumerate() {
        // SAFETY: the arrays have 64 bytes each.
        let columns = unsafe { [load(low.as_ptr().cast()), load(high.as_ptr().cast())] };
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `left.check` found the whole depth of the row within the bytes.
            let quad = unsafe { bytes.add(i * left.row_stride + group * 4).cast::<i32>().read_unaligned() };
            let quad = unsigned(quad);
            *sums = [
                _mm512_dpbusd_epi32(sums[0], quad, columns[0]),
                _mm512_dpbusd_epi32(sums[1], quad, columns[1]),
            ];
        }
    }
    if let [[low, high]] = rest {
        // SAFETY: the arrays have 64 bytes each.
        let columns = unsafe { [load(low.as_ptr().cast()), load(high.as_ptr().cast())] };
        for (tail, sums) in tails.into_iter().zip(&mut sums) {
            let quad = unsigned(tail);
            *sums = [
                _mm512_dpbusd_epi32(sums[0], quad, columns[0]),
                _mm512_dpbusd_epi32(sums[1], quad, columns[1]),
            ];
        }
    }
    for (row, sums) in c.iter_mut().zip(sums) {
        for (v, sum) in sums.into_iter().enumerate() {
            // SAFETY: `check_tile` found 32 columns from `column` on in each row.
            unsafe { _mm512_storeu_si512(row.as_mut_ptr().add(column + v * LANES).cast(), sum) };
        }
    }
}

/// Sets the sum of each row and vector from its row and first column; must be inlined into `multiply`.
#[inline(always)]
fn each<const ROWS: usize>(sums: &mut [[__m512i; 2]; ROWS], value: impl Fn(usize, usize) -> __m512i) {
    for (i, sums) in sums.iter_mut().enumerate() {
        for (v, sum) in sums.iter_mut().enumerate() {
            *sum = value(i, v * LANES);
        }
    }
}

/// Sixteen numbers from a pointer.
///
/// # Safety
/// There are sixteen.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn load(numbers: *const i32) -> __m512i {
    // SAFETY: the caller guarantees the numbers.
    unsafe { _mm512_loadu_si512(numbers.cast()) }
}
