//! The contract between the blocking, which is safe code, and the tiles, which are written per instruction
//! set.
//! Shared with the convolutions, whose right factor is never written out.

use std::ops::Range;

/// How one instruction set computes a tile of C in registers.
#[derive(Debug)]
pub(crate) struct Tile {
    /// The name of the kernel.
    pub(crate) name: &'static str,
    /// Whether a multiply-add is rounded once.
    pub(crate) fused: bool,
    /// The most rows that fit into registers.
    pub(crate) rows: usize,
    /// The columns of one panel: those of two vectors.
    pub(crate) columns: usize,
    /// How many panels side by side give a tile of so few rows enough independent chains.
    pub(crate) panels: fn(rows: usize) -> usize,
    /// Computes one tile.
    pub(crate) run: RunTile,
}

/// Computes `c[i][column + j] = start + Σ left(i, p) · right(p, j)`, for as many rows as `c` has and as many
/// columns as the vectors of `right`: a chain of multiply-adds, to which at last is added what C holds if that is the
/// start.
///
/// `left` holds the rows of the tile interleaved: `left(i, p)` is `left[p * c.len() + i]`.
/// Panics if a slice is too short.
pub(crate) type RunTile =
    fn(left: &[f32], right: RightPanels<'_>, start: Start<'_>, c: &mut [&mut [f32]], column: usize);

/// What the sums of a tile start from: the chain itself, or, where C is continued, what the chain is added to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start<'a, T = f32> {
    /// Zero.
    Zero,
    /// What C holds.
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
    /// How many vectors of columns are wanted: two of each panel, or one of the first.
    pub(crate) vectors: usize,
}

/// Where the rows of a right factor begin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RightRows<'a> {
    /// At equal distances.
    Every(usize),
    /// Anywhere: the windows of a convolution.
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

    pub(crate) fn slice(&self, range: Range<usize>) -> OffsetsSlice<'_> {
        OffsetsSlice { values: &self.values[range], furthest: self.furthest }
    }
}

impl<'a> OffsetsSlice<'a> {
    /// The positions, none beyond [`furthest`](Self::furthest).
    pub(crate) fn values(&self) -> &'a [usize] {
        self.values
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

/// Panics unless every row of C has room for a tile of some columns from `column` on, and there is enough to
/// start from.
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

/// How deep a left panel of some rows is; panics if it is not a whole number, or nothing.
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

/// Lets a tile run that is wider than what is left of C from `column` on: on a copy, of which the valid part
/// is kept.
///
/// `run` gets rows of the width of the largest tile, to be used from their first column on.
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
