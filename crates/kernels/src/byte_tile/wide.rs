//! The portable tile: 4 rows by 8 columns, two products of 16-bit numbers at a time.

use wide::{i16x8, i32x4};

use super::{Columns, Place, Rows, RunTile, Tile};

/// The tile, which runs everywhere.
pub(super) fn tile() -> &'static Tile {
    static TILE: Tile =
        Tile { name: "wide-4x8", rows: 4, columns: COLUMNS, products: 2, run: RunTile::Pairs(run) };
    &TILE
}

const LANES: usize = 4;
const COLUMNS: usize = 2 * LANES;

fn run(rows: Rows<'_, i16>, weights: &[i16], columns: Columns<'_>, place: Place<'_>) {
    match rows.starts.len() {
        1 => multiply::<1>(rows, weights, columns, place),
        2 => multiply::<2>(rows, weights, columns, place),
        3 => multiply::<3>(rows, weights, columns, place),
        4 => multiply::<4>(rows, weights, columns, place),
        rows => unreachable!("no tile of {rows} rows"),
    }
}

fn multiply<const ROWS: usize>(
    rows: Rows<'_, i16>,
    weights: &[i16],
    columns: Columns<'_>,
    mut place: Place<'_>,
) {
    place.check(ROWS, columns, COLUMNS);
    let weights = weights.as_chunks::<{ 2 * LANES }>().0.as_chunks::<2>().0;
    assert_eq!(weights.len(), rows.runs.starts.len() * rows.runs.groups, "the panel has another depth");
    let (start, _) = columns.start.as_chunks::<LANES>();
    let mut sums = [[i32x4::new(start[0]), i32x4::new(start[1])]; ROWS];
    let mut weights = weights;
    for run in &rows.runs.starts {
        let (of_run, more) = weights.split_at(rows.runs.groups);
        weights = more;
        let numbers: [&[[i16; 2]]; ROWS] = std::array::from_fn(|i| {
            rows.source[rows.starts[i] + run..].as_chunks::<2>().0[..rows.runs.groups].as_ref()
        });
        for (group, columns) in of_run.iter().enumerate() {
            let columns = columns.map(i16x8::new);
            for (numbers, sums) in numbers.iter().zip(&mut sums) {
                let [even, odd] = numbers[group];
                let pair = i16x8::new([even, odd, even, odd, even, odd, even, odd]);
                *sums = [sums[0] + pair.dot(columns[0]), sums[1] + pair.dot(columns[1])];
            }
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        let mut row = [0; COLUMNS];
        row[..LANES].copy_from_slice(&sums[0].to_array());
        row[LANES..].copy_from_slice(&sums[1].to_array());
        place.target.write(i * place.stride, &row[..columns.count], columns.factors);
    }
}
