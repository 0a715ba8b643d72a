//! The portable tile: 4 rows by 8 columns of 128-bit vectors, with the instructions of the compile target.
//! A multiply-add is rounded once where the target has FMA (NEON, `-C target-feature=+fma`) and twice
//! elsewhere.

use wide::f32x4;

use super::tile::{Added, RightPanels, RightRows, Start, Tile, check_tile, depth_of};

/// The tile, which runs everywhere.
pub(super) fn tile() -> &'static Tile {
    static TILE: Tile =
        Tile { name: "wide-4x8", fused: FUSED, rows: 4, columns: COLUMNS, panels: |_rows| 1, run };
    &TILE
}

const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
const LANES: usize = 4;
const COLUMNS: usize = 2 * LANES;

fn run(
    left: &[f32],
    right: RightPanels<'_>,
    start: Start<'_>,
    added: Added<'_>,
    c: &mut [&mut [f32]],
    column: usize,
) {
    match c.len() {
        1 => multiply::<1>(left, right, start, added, c, column),
        2 => multiply::<2>(left, right, start, added, c, column),
        3 => multiply::<3>(left, right, start, added, c, column),
        4 => multiply::<4>(left, right, start, added, c, column),
        rows => unreachable!("no tile of {rows} rows"),
    }
}

fn multiply<const ROWS: usize>(
    left: &[f32],
    right: RightPanels<'_>,
    start: Start<'_>,
    added: Added<'_>,
    c: &mut [&mut [f32]],
    column: usize,
) {
    check_tile(start, c, column, COLUMNS);
    let depth = depth_of(left, ROWS);
    right.check(depth, LANES);
    let mut sums = [[f32x4::ZERO; 2]; ROWS];
    for (i, sums) in sums.iter_mut().enumerate() {
        *sums = match start {
            Start::Zero | Start::Continue => [f32x4::ZERO; 2],
            Start::Rows(values) => [f32x4::splat(values[i]); 2],
            Start::Columns(values) => load(values),
        };
    }
    let left = left.as_chunks::<ROWS>().0;
    for (p, factors) in left.iter().enumerate() {
        let row = match right.rows {
            RightRows::Every(step) => p * step,
            RightRows::At(offsets) => offsets.values()[p],
        };
        let values = load(&right.data[row..]);
        for (factor, sums) in factors.iter().zip(&mut sums) {
            let factor = f32x4::splat(*factor);
            *sums = [factor.mul_add(values[0], sums[0]), factor.mul_add(values[1], sums[1])];
        }
    }
    for (i, (row, mut sums)) in c.iter_mut().zip(sums).enumerate() {
        if matches!(start, Start::Continue) {
            let before = load(&row[column..]);
            sums = [before[0] + sums[0], before[1] + sums[1]];
        }
        for summands in added.into_iter().flatten() {
            let summands = load(&summands.data[i * summands.row_stride..]);
            sums = [sums[0] + summands[0], sums[1] + summands[1]];
        }
        row[column..column + LANES].copy_from_slice(&sums[0].to_array());
        row[column + LANES..column + COLUMNS].copy_from_slice(&sums[1].to_array());
    }
}

#[inline(always)]
fn load(slice: &[f32]) -> [f32x4; 2] {
    let (vectors, _) = slice[..COLUMNS].as_chunks::<LANES>();
    [f32x4::new(vectors[0]), f32x4::new(vectors[1])]
}
