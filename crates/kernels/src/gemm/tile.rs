//! The contract between the blocking, which is safe code, and the tiles, which are written for one instruction set
//! each.
//! The convolutions use them too, without copying their right factor.

use std::ops::Range;

/// The computation of a tile of C in registers, with one instruction set.
#[derive(Debug)]
pub(crate) struct Tile {
    /// The name of the kernel.
    pub(crate) name: &'static str,
    /// Whether a multiply-add is rounded once.
    pub(crate) fused: bool,
    /// The largest number of rows that fits into registers.
    pub(crate) rows: usize,
    /// The columns of one panel: two vectors.
    pub(crate) columns: usize,
    /// The number of adjacent panels that gives a tile of few rows enough independent chains.
    pub(crate) panels: fn(rows: usize) -> usize,
    /// Computes one tile.
    pub(crate) run: RunTile,
}

/// Computes `c[i][column + j] = start + Σ left(i, p) · right(p, j)` for all rows of `c` and all columns of the vectors
/// of `right`, as a chain of multiply-adds. With [`Start::Continue`] the elements of C are added at the end of the
/// chain. Then the summands are added, one after the other.
///
/// `left` holds the rows of the tile interleaved: `left(i, p)` is `left[p * c.len() + i]`.
/// Panics if a slice is too short.
pub(crate) type RunTile = fn(
    left: &[f32],
    right: RightPanels<'_>,
    start: Start<'_>,
    added: Added<'_>,
    c: &mut [&mut [f32]],
    column: usize,
);

/// What is added to the finished sums of a tile.
pub(crate) type Added<'a> = [Option<Summands<'a>>; 2];

/// A summand for each element of a tile: `data[i * row_stride + j]` for row `i` and column `j`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summands<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) row_stride: usize,
}

impl Summands<'_> {
    /// Panics unless there is a summand for each element of a tile.
    #[inline]
    pub(crate) fn check(&self, rows: usize, columns: usize) {
        let end = (rows - 1).checked_mul(self.row_stride).and_then(|start| start.checked_add(columns));
        assert!(end.is_some_and(|end| end <= self.data.len()), "too few summands for the tile");
    }

    /// Adds them to the columns of rows from `column` on.
    pub(crate) fn add_to(&self, rows: &mut [&mut [f32]], column: usize) {
        for (i, row) in rows.iter_mut().enumerate() {
            for (value, summand) in row[column..].iter_mut().zip(&self.data[i * self.row_stride..]) {
                *value += summand;
            }
        }
    }
}

/// The initial values of the sums of a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start<'a, T = f32> {
    /// Zero.
    Zero,
    /// The elements of C.
    Continue,
    /// One value for each row of the tile.
    Rows(&'a [T]),
    /// One value for each column of the tile.
    Columns(&'a [T]),
}

/// Some panels of a right factor: element `(p, j)` of panel `q` is `data[rows(p) + q * panel_stride + j]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RightPanels<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: RightRows<'a>,
    pub(crate) panel_stride: usize,
    /// The number of vectors of columns to compute: two of each panel, or one of the first.
    pub(crate) vectors: usize,
}

/// The starts of the rows of a right factor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RightRows<'a> {
    /// At equal distances.
    Every(usize),
    /// At any offsets: the windows of a convolution.
    At(OffsetsSlice<'a>),
}

/// Positions in a slice, together with the largest of them, so that bounds are checked once for all.
#[derive(Debug)]
pub(crate) struct Offsets {
    values: Vec<usize>,
    furthest: usize,
}

/// A part of [`Offsets`]; no value exceeds the bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OffsetsSlice<'a> {
    values: &'a [usize],
    furthest: usize,
}

impl Offsets {
    pub(crate) fn new(values: Vec<usize>) -> Offsets {
        let furthest = values.iter().copied().max().unwrap_or(0);
        Offsets { values, furthest }
    }

    /// The number of positions.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> OffsetsSlice<'_> {
        OffsetsSlice { values: &self.values[range], furthest: self.furthest }
    }
}

impl<'a> OffsetsSlice<'a> {
    /// The positions, none larger than [`furthest`](Self::furthest).
    pub(crate) fn values(&self) -> &'a [usize] {
        self.values
    }

    /// A bound of the positions.
    pub(crate) fn furthest(&self) -> usize {
        self.furthest
    }
}

impl RightPanels<'_> {
    /// Panics unless `depth` rows of all vectors, each of `lanes` columns, lie within the data.
    #[inline]
    pub(crate) fn check(&self, depth: usize, lanes: usize) {
        let last_row = match self.rows {
            RightRows::Every(step) => (depth - 1).checked_mul(step),
            RightRows::At(offsets) => {
                assert_eq!(offsets.values.len(), depth, "one offset for each row");
                Some(offsets.furthest)
            }
        };
        let last_panel = ((self.vectors - 1) / 2).checked_mul(self.panel_stride);
        let last = last_row.zip(last_panel).and_then(|(row, panel)| row.checked_add(panel));
        let end = last.and_then(|last| last.checked_add(if self.vectors > 1 { 2 * lanes } else { lanes }));
        assert!(end.is_some_and(|end| end <= self.data.len()), "the right panels reach beyond their data");
    }
}

/// Panics unless every row of C has `columns` elements from `column` on, and `start` has enough values.
#[inline]
pub(crate) fn check_tile<T>(start: Start<'_, T>, c: &[&mut [T]], column: usize, columns: usize) {
    let has_room = |row: &&mut [T]| row.len().checked_sub(column).is_some_and(|rest| rest >= columns);
    assert!(c.iter().all(has_room), "a row of the result is too short for the tile");
    match start {
        Start::Rows(values) => assert!(values.len() >= c.len(), "too few values to start rows from"),
        Start::Columns(values) => assert!(values.len() >= columns, "too few values to start columns from"),
        Start::Zero | Start::Continue => {}
    }
}

/// The depth of a left panel; panics if it is 0 or not an integer.
#[inline]
pub(super) fn depth_of(left: &[f32], rows: usize) -> usize {
    assert!(
        !left.is_empty() && left.len().is_multiple_of(rows),
        "the left panel has another height than the tile"
    );
    left.len() / rows
}

/// The largest tile of any kernel.
const MAX_ROWS: usize = 14;
const MAX_COLUMNS: usize = 32;

/// Runs a tile that is wider than the rest of C from `column` on: on a copy, of which the valid part is written back.
///
/// `run` receives rows of the width of the largest tile, and writes from their first column on.
pub(crate) fn run_edge<T: Copy + Default>(
    start: Start<'_, T>,
    c: &mut [&mut [T]],
    column: usize,
    run: impl FnOnce(Start<'_, T>, &mut [&mut [T]]),
) {
    let mut copy = [[T::default(); MAX_COLUMNS]; MAX_ROWS];
    let mut padded = [T::default(); MAX_COLUMNS];
    let start = match start {
        Start::Columns(values) => {
            let width = values.len().min(MAX_COLUMNS);
            padded[..width].copy_from_slice(&values[..width]);
            Start::Columns(&padded)
        }
        Start::Continue => {
            for (copy, row) in copy.iter_mut().zip(c.iter()) {
                copy[..row.len() - column].copy_from_slice(&row[column..]);
            }
            Start::Continue
        }
        Start::Zero | Start::Rows(_) => start,
    };
    let mut rows = copy.each_mut().map(|row| &mut row[..]);
    run(start, &mut rows[..c.len()]);
    for (copy, row) in copy.iter().zip(c) {
        let width = row.len() - column;
        row[column..].copy_from_slice(&copy[..width]);
    }
}
