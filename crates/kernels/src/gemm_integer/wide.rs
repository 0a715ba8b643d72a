//! The portable tile: 4 rows by 8 columns, two products of 16-bit numbers at a time.

use wide::{i16x8, i32x4};

use super::tile::{RunTile, Tile};
use crate::gemm::{Start, check_tile};

/// The tile, which runs everywhere.
pub(super) fn tile() -> &'static Tile {
    static TILE: Tile = Tile { name: "wide-4x8", rows: 4, columns: COLUMNS, run: RunTile::Pairs(run) };
    &TILE
}

const LANES: usize = 4;
const COLUMNS: usize = 2 * LANES;

fn run(left: &[i16], right: &[i16], start: Start<'_, i32>, c: &mut [&mut [i32]], column: usize) {
    match c.len() {
        1 => multiply::<1>(left, right, start, c, column),
        2 => multiply::<2>(left, right, start, c, column),
        3 => multiply::<3>(left, right, start, c, column),
        4 => multiply::<4>(left, right, start, c, column),
        rows => unreachable!("no tile of {rows} rows"),
    }
}

fn multiply<const ROWS: usize>(
    left: &[i16],
    right: &[i16],
    start: Start<'_, i32>,
    c: &mut [&mut [i32]],
    column: usize,
) {
    check_tile(start, c, column, COLUMNS);
    let left = left.as_chunks::<2>().0.as_chunks::<ROWS>().0;
    let right = right.as_chunks::<{ 2 * LANES }>().0.as_chunks::<2>().0;
    assert_eq!(left.len(), right.len(), "the panels differ in depth");
    let mut sums = [[i32x4::ZERO; 2]; ROWS];
    for (i, sums) in sums.iter_mut().enumerate() {
        *sums = match start {
            Start::Zero => [i32x4::ZERO; 2],
            Start::Continue => load(&c[i][column..]),
            Start::Rows(values) => [i32x4::splat(values[i]); 2],
            Start::Columns(values) => load(values),
        };
    }
    for (pairs, columns) in left.iter().zip(right) {
        let columns = columns.map(i16x8::new);
        for ([even, odd], sums) in pairs.iter().zip(&mut sums) {
            let pair = i16x8::new([*even, *odd, *even, *odd, *even, *odd, *even, *odd]);
            *sums = [sums[0] + pair.dot(columns[0]), sums[1] + pair.dot(columns[1])];
        }
    }
    for (row, sums) in c.iter_mut().zip(sums) {
        row[column..column + LANES].copy_from_slice(&sums[0].to_array());
        row[column + LANES..column + COLUMNS].copy_from_slice(&sums[1].to_array());
    }
}

#[inline(always)]
fn load(slice: &[i32]) -> [i32x4; 2] {
    let (vectors, _) = slice[..COLUMNS].as_chunks::<LANES>();
    [i32x4::new(vectors[0]), i32x4::new(vectors[1])]
}
