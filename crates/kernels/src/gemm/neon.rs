//! The NEON tile: 12 rows by 8 columns, fewer rows by more columns for flat products.

#![allow(unsafe_code, reason = "128-bit loads and stores through pointers, after run-time detection")]

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::tile::{Added, RightPanels, RightRows, Start, Tile, check_tile, depth_of};
use crate::isa::{Row, allows};

/// The tile, if this machine can run it.
pub(super) fn tile() -> Option<&'static Tile> {
    static TILE: Tile = Tile { name: "neon-12x8", fused: true, rows: 12, columns: 2 * LANES, panels, run };
    (allows(Row::Neon) && is_aarch64_feature_detected!("neon")).then_some(&TILE)
}

const LANES: usize = 4;

fn panels(rows: usize) -> usize {
    match rows {
        1 | 2 => 4,
        3 | 4 => 2,
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
                    // SAFETY: `run` is reachable only through `tile`, which has detected NEON.
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
        1 x 8, 2 x 8, 3 x 4, 4 x 4,
        1 x 2, 2 x 2, 3 x 2, 4 x 2, 5 x 2, 6 x 2, 7 x 2, 8 x 2, 9 x 2, 10 x 2, 11 x 2, 12 x 2,
        1 x 1, 2 x 1, 3 x 1, 4 x 1, 5 x 1, 6 x 1, 7 x 1, 8 x 1, 9 x 1, 10 x 1, 11 x 1, 12 x 1
    );
}

/// `row(p)` is the start of row `p` of the right panels, from `right.rows`.
#[target_feature(enable = "neon")]
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
    right.check(depth_of(left, ROWS), LANES);
    let mut sums = [[vdupq_n_f32(0.0); VECTORS]; ROWS];
    match start {
        Start::Zero | Start::Continue => {}
        Start::Rows(values) => each(&mut sums, |i, _| vdupq_n_f32(values[i])),
        // SAFETY: `check_tile` found VECTORS * 4 values.
        Start::Columns(values) => each(&mut sums, |_, j| unsafe { vld1q_f32(values.as_ptr().add(j)) }),
    }
    for (p, factors) in left.as_chunks::<ROWS>().0.iter().enumerate() {
        // SAFETY: `right.check` found 4 elements of each vector of each row within the data.
        let vector = |v: usize| unsafe {
            vld1q_f32(right.data.as_ptr().add(row(p) + v / 2 * right.panel_stride + v % 2 * LANES))
        };
        let mut values = [vdupq_n_f32(0.0); VECTORS];
        for (v, value) in values.iter_mut().enumerate() {
            *value = vector(v);
        }
        let (quads, rest) = factors.as_chunks::<4>();
        let (sums, of_rest) = sums.as_chunks_mut::<4>();
        for (quad, [first, second, third, fourth]) in quads.iter().zip(sums) {
            // SAFETY: the array has 16 bytes.
            let quad = unsafe { vld1q_f32(quad.as_ptr()) };
            for (v, value) in values.iter().enumerate() {
                first[v] = vfmaq_laneq_f32::<0>(first[v], *value, quad);
                second[v] = vfmaq_laneq_f32::<1>(second[v], *value, quad);
                third[v] = vfmaq_laneq_f32::<2>(third[v], *value, quad);
                fourth[v] = vfmaq_laneq_f32::<3>(fourth[v], *value, quad);
            }
        }
        for (factor, sums) in rest.iter().zip(of_rest) {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = vfmaq_n_f32(*sum, value, *factor);
            }
        }
    }
    if matches!(start, Start::Continue) {
        for (row, sums) in c.iter().zip(&mut sums) {
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: `check_tile` found VECTORS * 4 columns from `column` on in each row.
                *sum = vaddq_f32(unsafe { vld1q_f32(row.as_ptr().add(column + v * LANES)) }, *sum);
            }
        }
    }
    for summands in added.into_iter().flatten() {
        summands.check(ROWS, VECTORS * LANES);
        for (i, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: `check` found VECTORS * 4 summands of each row.
                let summand =
                    unsafe { vld1q_f32(summands.data.as_ptr().add(i * summands.row_stride + v * LANES)) };
                *sum = vaddq_f32(*sum, summand);
            }
        }
    }
    for (row, sums) in c.iter_mut().zip(sums) {
        for (v, sum) in sums.iter().enumerate() {
            // SAFETY: `check_tile` found VECTORS * 4 columns from `column` on in each row.
            unsafe { vst1q_f32(row.as_mut_ptr().add(column + v * LANES), *sum) };
        }
    }
}

/// Sets the sum of each row and vector from its row and first column; must be inlined into `multiply`.
#[inline(always)]
fn each<const ROWS: usize, const VECTORS: usize>(
    sums: &mut [[float32x4_t; VECTORS]; ROWS],
    value: impl Fn(usize, usize) -> float32x4_t,
) {
    for (i, sums) in sums.iter_mut().enumerate() {
        for (v, sum) in sums.iter_mut().enumerate() {
            *sum = value(i, v * LANES);
        }
    }
}
