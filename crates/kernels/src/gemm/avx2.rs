//! The AVX2 tile: 6 rows by 16 columns, fewer rows by more columns for flat products.

#![allow(unsafe_code, reason = "256-bit loads and stores through pointers, after run-time detection")]

use std::arch::x86_64::*;

use super::tile::{Added, RightPanels, RightRows, Start, Tile, check_tile, depth_of};
use crate::isa::{Row, allows};

/// The tile, if this machine can run it.
pub(super) fn tile() -> Option<&'static Tile> {
    static TILE: Tile = Tile { name: "avx2-6x16", fused: true, rows: 6, columns: 16, panels, run };
    (allows(Row::Avx2) && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"))
        .then_some(&TILE)
}

const LANES: usize = 8;

fn panels(rows: usize) -> usize {
    match rows {
        1 => 4,
        2 => 3,
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
                    // SAFETY: `run` is reachable only through `tile`, which has detected AVX2 and FMA.
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
        1 x 8, 2 x 6,
        1 x 2, 2 x 2, 3 x 2, 4 x 2, 5 x 2, 6 x 2,
        1 x 1, 2 x 1, 3 x 1, 4 x 1, 5 x 1, 6 x 1
    );
}

/// `row(p)` is the start of row `p` of the right panels, from `right.rows`.
#[target_feature(enable = "avx2,fma")]
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
    let mut sums = [[_mm256_setzero_ps(); VECTORS]; ROWS];
    match start {
        Start::Zero | Start::Continue => {}
        Start::Rows(values) => each(&mut sums, |i, _| _mm256_set1_ps(values[i])),
        // SAFETY: `check_tile` found VECTORS * 8 values.
        Start::Columns(values) => each(&mut sums, |_, j| unsafe { _mm256_loadu_ps(values.as_ptr().add(j)) }),
    }
    for p in 0..depth {
        // SAFETY: `right.check` found 8 elements of each vector of each row within the data.
        let vector = |v: usize| unsafe {
            _mm256_loadu_ps(right.data.as_ptr().add(row(p) + v / 2 * right.panel_stride + v % 2 * LANES))
        };
        let mut values = [_mm256_setzero_ps(); VECTORS];
        for (v, value) in values.iter_mut().enumerate() {
            *value = vector(v);
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `left` holds `depth` times ROWS elements.
            let factor = _mm256_set1_ps(unsafe { *left.as_ptr().add(p * ROWS + i) });
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = _mm256_fmadd_ps(factor, value, *sum);
            }
        }
    }
    if matches!(start, Start::Continue) {
        for (row, sums) in c.iter().zip(&mut sums) {
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: `check_tile` found VECTORS * 8 columns from `column` on in each row.
                *sum = _mm256_add_ps(unsafe { _mm256_loadu_ps(row.as_ptr().add(column + v * LANES)) }, *sum);
            }
        }
    }
    for summands in added.into_iter().flatten() {
        summands.check(ROWS, VECTORS * LANES);
        for (i, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: `check` found VECTORS * 8 summands of each row.
                let summand = unsafe {
                    _mm256_loadu_ps(summands.data.as_ptr().add(i * summands.row_stride + v * LANES))
                };
                *sum = _mm256_add_ps(*sum, summand);
            }
        }
    }
    for (row, sums) in c.iter_mut().zip(sums) {
        for (v, sum) in sums.iter().enumerate() {
            // SAFETY: `check_tile` found VECTORS * 8 columns from `column` on in each row.
            unsafe { _mm256_storeu_ps(row.as_mut_ptr().add(column + v * LANES), *sum) };
        }
    }
}

/// Sets the sum of each row and vector from its row and first column; must be inlined into `multiply`.
#[inline(always)]
fn each<const ROWS: usize, const VECTORS: usize>(
    sums: &mut [[__m256; VECTORS]; ROWS],
    value: impl Fn(usize, usize) -> __m256,
) {
    for (i, sums) in sums.iter_mut().enumerate() {
        for (v, sum) in sums.iter_mut().enumerate() {
            *sum = value(i, v * LANES);
        }
    }
}
