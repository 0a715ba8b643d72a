//! The AVX-512 tile: 14 rows by 32 columns, fewer rows by more columns for flat products.

#![allow(unsafe_code, reason = "512-bit loads and stores through pointers, after run-time detection")]

use std::arch::x86_64::*;

use super::tile::{Added, RightPanels, RightRows, Start, Tile, check_tile, depth_of};
use crate::isa::{Row, allows};

/// The tile, if this machine can run it.
pub(super) fn tile() -> Option<&'static Tile> {
    static TILE: Tile = Tile { name: "avx512-14x32", fused: true, rows: 14, columns: 32, panels, run };
    (allows(Row::Avx512) && is_x86_feature_detected!("avx512f")).then_some(&TILE)
}

const LANES: usize = 16;

fn panels(rows: usize) -> usize {
    match rows {
        1 => 4,
        2 => 6,
        3 => 4,
        4 => 3,
        _ => 1,
    }
}

fn run(
    left: &[f32],
    right: RightPanels<'_>,
    start: Start<'_>,
    added: Added<'_>,
    c: &mut [&mut [f32]],
    column: usize,
) {
    macro_rules! run_tile {
        ($($rows:literal x $vectors:literal),*) => {
            match (c.len(), right.vectors, right.rows) {
                $(($rows, $vectors, RightRows::Every(step)) => {
                    // SAFETY: `run` is reachable only through `tile`, which has detected AVX-512.
                    unsafe { multiply::<$rows, $vectors>(left, right, |p| p * step, (start, added), c, column) }
                })*
                $(($rows, $vectors, RightRows::At(offsets)) => {
                    let offsets = offsets.values();
                    // SAFETY: as above.
                    unsafe { multiply::<$rows, $vectors>(left, right, |p| offsets[p], (start, added), c, column) }
                })*
                (rows, vectors, _) => unreachable!("no tile of {rows} rows and {vectors} vectors"),
            }
        };
    }
    run_tile!(
        1 x 8, 2 x 12, 3 x 8, 4 x 6,
        1 x 2, 2 x 2, 3 x 2, 4 x 2, 5 x 2, 6 x 2, 7 x 2, 8 x 2, 9 x 2, 10 x 2, 11 x 2, 12 x 2, 13 x 2, 14 x 2,
        1 x 1, 2 x 1, 3 x 1, 4 x 1, 5 x 1, 6 x 1, 7 x 1, 8 x 1, 9 x 1, 10 x 1, 11 x 1, 12 x 1, 13 x 1, 14 x 1
    );
}

/// `row(p)` is the start of row `p` of the right panels, from `right.rows`.
#[target_feature(enable = "avx512f")]
fn multiply<const ROWS: usize, const VECTORS: usize>(
    left: &[f32],
    right: RightPanels<'_>,
    row: impl Fn(usize) -> usize,
    (start, added): (Start<'_>, Added<'_>),
    c: &mut [&mut [f32]],
    column: usize,
) {
    let c: &mut [&mut [f32]; ROWS] = c.try_into().expect("the tile was chosen by its rows");
    check_tile(start, c, column, VECTORS * LANES);
    let depth = depth_of(left, ROWS);
    right.check(depth, LANES);
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
    match start {
        Start::Zero | Start::Continue => {}
        Start::Rows(values) => each(&mut sums, |i, _| _mm512_set1_ps(values[i])),
        // SAFETY: `check_tile` found VECTORS * 16 values.
        Start::Columns(values) => each(&mut sums, |_, j| unsafe { _mm512_loadu_ps(values.as_ptr().add(j)) }),
    }
    for p in 0..depth {
        // SAFETY: `right.check` found 16 elements of each vector of each row within the data.
        let vector = |v: usize| unsafe {
            _mm512_loadu_ps(right.data.as_ptr().add(row(p) + v / 2 * right.panel_stride + v % 2 * LANES))
        };
        let mut values = [_mm512_setzero_ps(); VECTORS];
        for (v, value) in values.iter_mut().enumerate() {
            *value = vector(v);
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `left` holds `depth` times ROWS elements.
            let factor = _mm512_set1_ps(unsafe { *left.as_ptr().add(p * ROWS + i) });
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = _mm512_fmadd_ps(factor, value, *sum);
            }
        }
    }
    if matches!(start, Start::Continue) {
        for (row, sums) in c.iter().zip(&mut sums) {
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: `check_tile` found VECTORS * 16 columns from `column` on in each row.
                *sum = _mm512_add_ps(unsafe { _mm512_loadu_ps(row.as_ptr().add(column + v * LANES)) }, *sum);
            }
        }
    }
    for summands in added.into_iter().flatten() {
        summands.check(ROWS, VECTORS * LANES);
        for (i, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: `check` found VECTORS * 16 summands of each row.
                let summand = unsafe {
                    _mm512_loadu_ps(summands.data.as_ptr().add(i * summands.row_stride + v * LANES))
                };
                *sum = _mm512_add_ps(*sum, summand);
            }
        }
    }
    for (row, sums) in c.iter_mut().zip(sums) {
        for (v, sum) in sums.iter().enumerate() {
            // SAFETY: `check_tile` found VECTORS * 16 columns from `column` on in each row.
            unsafe { _mm512_storeu_ps(row.as_mut_ptr().add(column + v * LANES), *sum) };
        }
    }
}

/// Sets the sum of each row and vector from its row and first column; must be inlined into `multiply`.
#[inline(always)]
fn each<const ROWS: usize, const VECTORS: usize>(
    sums: &mut [[__m512; VECTORS]; ROWS],
    value: impl Fn(usize, usize) -> __m512,
) {
    for (i, sums) in sums.iter_mut().enumerate() {
        for (v, sum) in sums.iter_mut().enumerate() {
            *sum = value(i, v * LANES);
        }
    }
}
