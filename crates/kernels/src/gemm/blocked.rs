//! The blocking of a product: blocks along the depth, pieces of C for threads, panels for registers.

use std::cell::Cell;
use std::ops::Range;

use super::pack::{self, PackedLeft, PackedRight};
use super::tile::{Added, RightPanels, RightRows, Start, Tile, run_edge};
use super::{Epilogue, Init, Left, Right};
use crate::buffer::{AlignedBuffer, with_scratch};
use crate::matrix::Matrix;
use crate::parallel;

/// The largest number of columns whose right panels are packed at a time: a block of them stays in the second-level
/// cache.
const COLUMN_PIECE: usize = 512;

/// The number of pieces that C is cut into for several threads, if it is large enough.
const PIECES: usize = 8;

/// The number of rows of the left factor that are multiplied by all right panels in turn.
const ROW_BLOCK: usize = 256;

/// The largest number of elements of a packed left factor whose memory is kept for the next product.
const LARGEST_KEPT: usize = 1 << 18;

thread_local! {
    static LEFT: Cell<AlignedBuffer<f32>> = const { Cell::new(AlignedBuffer::EMPTY) };
    static RIGHT: Cell<AlignedBuffer<f32>> = const { Cell::new(AlignedBuffer::EMPTY) };
}

/// `rows = activation(init + a·b + bias + residual)`; the depth is not zero.
pub(super) fn gemm(
    tile: &'static Tile,
    a: Left<'_>,
    b: Right<'_>,
    init: Init<'_>,
    epilogue: Option<Epilogue<'_>>,
    rows: Vec<&mut [f32]>,
) {
    match a {
        Left::Packed(left) => multiply(tile, left, b, init, epilogue, rows),
        Left::Plain(matrix) => {
            let left = PackedLeft::within(LEFT.take(), tile.name, Some(tile), matrix);
            multiply(tile, &left, b, init, epilogue, rows);
            if left.rows * left.depth <= LARGEST_KEPT {
                LEFT.set(left.into_buffer());
            }
        }
    }
}

fn multiply(
    tile: &'static Tile,
    left: &PackedLeft,
    b: Right<'_>,
    init: Init<'_>,
    epilogue: Option<Epilogue<'_>>,
    rows: Vec<&mut [f32]>,
) {
    let columns = rows[0].len();
    let operations = left.rows * left.depth * columns;
    let packed_right;
    let right = match b {
        Right::Packed(packed) => Source::Packed(packed),
        Right::Plain(matrix) if matrix.column_stride == 1 && left.rows <= 2 * tile.rows => {
            Source::InPlace(matrix)
        }
        Right::Plain(matrix) if columns > PIECES * tile.columns || !parallel::is_parallel(operations) => {
            Source::PackedByPieces(matrix)
        }
        Right::Plain(matrix) => {
            packed_right = PackedRight::new(tile.name, Some(tile), matrix);
            Source::Packed(&packed_right)
        }
    };
    let n_pieces = if parallel::is_parallel(operations) { PIECES } else { 1 };
    parallel::for_each(operations, cut(tile, left, right, n_pieces, rows), |piece| {
        multiply_piece(tile, left, right, init, epilogue, piece)
    });
}

/// A part of C that one thread computes: whole panels of rows by whole panels of columns.
struct Piece<'a> {
    left_panels: Range<usize>,
    columns: Range<usize>,
    c: Vec<&'a mut [f32]>,
}

/// The source of the right panels.
#[derive(Clone, Copy)]
enum Source<'a> {
    Packed(&'a PackedRight),
    /// Each piece packs its columns, block by block, so that they are in the cache of its thread.
    PackedByPieces(Matrix<'a, f32>),
    /// Not packed: its columns are adjacent, and only one tile uses them.
    InPlace(Matrix<'a, f32>),
}

/// Cuts C into at least `n_pieces`, if it is large enough.
fn cut<'a>(
    tile: &Tile,
    left: &PackedLeft,
    right: Source<'_>,
    n_pieces: usize,
    rows: Vec<&'a mut [f32]>,
) -> Vec<Piece<'a>> {
    let width = rows[0].len();
    let whole = width / tile.columns * tile.columns;
    let step = width.div_ceil(n_pieces).next_multiple_of(tile.columns).clamp(2 * tile.columns, COLUMN_PIECE);
    let mut ends: Vec<usize> = (step..width).step_by(step).chain([width]).collect();
    if matches!(right, Source::InPlace(_))
        && whole > 0
        && whole < width
        && ends[ends.len().saturating_sub(2)] != whole
    {
        // The remaining columns cannot be read in place without reading past the end of the last row.
        ends.insert(ends.len() - 1, whole);
    }
    let groups = if matches!(right, Source::Packed(_)) { n_pieces.div_ceil(ends.len()) } else { 1 };
    let groups = groups.min(left.panels());

    let mut pieces = Vec::with_capacity(groups * ends.len());
    for group in 0..groups {
        let left_panels = group * left.panels() / groups..(group + 1) * left.panels() / groups;
        let mut start = 0;
        for end in &ends {
            pieces.push(Piece { left_panels: left_panels.clone(), columns: start..*end, c: Vec::new() });
            start = *end;
        }
    }
    if let [piece] = &mut pieces[..] {
        piece.c = rows;
        return pieces;
    }
    let mut rows = rows.into_iter();
    for group in pieces.chunks_mut(ends.len()) {
        let height = left.panel_rows(group[0].left_panels.clone()).len();
        for mut row in rows.by_ref().take(height) {
            for piece in &mut *group {
                let (head, tail) = row.split_at_mut(piece.columns.len());
                piece.c.push(head);
                row = tail;
            }
        }
    }
    pieces
}

fn multiply_piece(
    tile: &'static Tile,
    left: &PackedLeft,
    right: Source<'_>,
    init: Init<'_>,
    epilogue: Option<Epilogue<'_>>,
    mut piece: Piece<'_>,
) {
    let columns = piece.columns.clone();
    let init = match init {
        Init::Zero => Start::Zero,
        Init::Accumulate => Start::Continue,
        Init::Rows(values) => Start::Rows(&values[left.panel_rows(piece.left_panels.clone())]),
        Init::Columns(values) => Start::Columns(&values[columns.clone()]),
    };
    let first_row = left.panel_rows(piece.left_panels.clone()).start;
    for depth in pack::depth_blocks(left.depth) {
        let start = if depth.start == 0 { init } else { Start::Continue };
        let epilogue =
            epilogue.filter(|_| depth.end == left.depth).map(|all| (all, first_row, columns.start));
        let mut run = |data: &[f32], row_stride: usize, panel_stride: usize| {
            let right = RightBlock { data, rows: RightRows::Every(row_stride), panel_stride };
            let (left_panels, depth) = (piece.left_panels.clone(), depth.clone());
            DepthBlock { tile, left, left_panels, depth, right, start, epilogue }.run(&mut piece.c);
        };
        match right {
            Source::Packed(right) => {
                run(right.panels(depth.clone(), columns.start), tile.columns, tile.columns * depth.len());
            }
            Source::InPlace(matrix) if columns.len().is_multiple_of(tile.columns) => {
                let data = &matrix.data[depth.start * matrix.row_stride + columns.start..];
                run(data, matrix.row_stride, tile.columns);
            }
            Source::InPlace(matrix) | Source::PackedByPieces(matrix) => {
                let len = columns.len().next_multiple_of(tile.columns) * depth.len();
                with_scratch(&RIGHT, len, |data| {
                    pack::pack_right_block(tile, matrix, depth.clone(), columns.clone(), data);
                    run(data, tile.columns, tile.columns * depth.len());
                });
            }
        }
    }
}

/// The right panels of a block of the depth: element `(p, j)` of panel `q` is
/// `data[rows(p) + q * panel_stride + j]`.
#[derive(Clone, Copy)]
pub(crate) struct RightBlock<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: RightRows<'a>,
    pub(crate) panel_stride: usize,
}

/// One block of the depth of a product.
pub(crate) struct DepthBlock<'a> {
    pub(crate) tile: &'static Tile,
    pub(crate) left: &'a PackedLeft,
    /// The panels of `left` to multiply.
    pub(crate) left_panels: Range<usize>,
    /// The part of the depth in `right`, one of [`depth_blocks`](pack::depth_blocks).
    pub(crate) depth: Range<usize>,
    pub(crate) right: RightBlock<'a>,
    pub(crate) start: Start<'a>,
    /// What follows the last block, and the row and column of the product at which C begins.
    pub(crate) epilogue: Option<(Epilogue<'a>, usize, usize)>,
}

impl DepthBlock<'_> {
    /// Computes the rows of C for the left panels, in all their columns.
    pub(crate) fn run(&self, c: &mut [&mut [f32]]) {
        let Some(width) = c.first().map(|row| row.len()) else { return };
        let first_row = self.left.panel_rows(self.left_panels.clone()).start;
        let height = self.left.panel_rows(self.left_panels.start..self.left_panels.start + 1).len();
        // More than one only if there is a single left panel.
        let side_by_side = (self.tile.panels)(height);
        for first in self.left_panels.clone().step_by(ROW_BLOCK / self.tile.rows) {
            let block = first..self.left_panels.end.min(first + ROW_BLOCK / self.tile.rows);
            let mut column = 0;
            while column < width {
                let fits = width - column >= side_by_side * self.tile.columns;
                let panels = if fits { side_by_side } else { 1 };
                for left_panel in block.clone() {
                    let rows = self.left.panel_rows(left_panel..left_panel + 1);
                    let local = rows.start - first_row..rows.end - first_row;
                    let (start, c) = (self.start_of(local.clone(), column), &mut c[local.clone()]);
                    let added = match self.epilogue {
                        Some((epilogue, row, first)) => epilogue.added(row + local.start, first + column),
                        None => [None; 2],
                    };
                    self.run_tile(rows, panels, (start, added), c, column);
                    if let Some((epilogue, ..)) = self.epilogue {
                        epilogue.activate(c, column..width.min(column + panels * self.tile.columns));
                    }
                }
                column += panels * self.tile.columns;
            }
        }
    }

    fn run_tile(
        &self,
        rows: Range<usize>,
        panels: usize,
        (start, added): (Start<'_>, Added<'_>),
        c: &mut [&mut [f32]],
        column: usize,
    ) {
        let left = self.left.panel(rows, self.depth.clone());
        let RightBlock { data, rows, panel_stride } = self.right;
        let data = &data[column / self.tile.columns * panel_stride..];
        let columns = c[0].len() - column;
        if columns >= panels * self.tile.columns {
            let right = RightPanels { data, rows, panel_stride, vectors: 2 * panels };
            (self.tile.run)(left, right, start, added, c, column);
        } else {
            let vectors = if columns > self.tile.columns / 2 { 2 } else { 1 };
            let right = RightPanels { data, rows, panel_stride, vectors };
            run_edge(start, c, column, |start, c| (self.tile.run)(left, right, start, [None; 2], c, 0));
            added.iter().flatten().for_each(|summands| summands.add_to(c, column));
        }
    }

    /// The initial values for a tile at these rows and this column.
    fn start_of(&self, rows: Range<usize>, column: usize) -> Start<'_> {
        match self.start {
            Start::Rows(values) => Start::Rows(&values[rows]),
            Start::Columns(values) => Start::Columns(&values[column..]),
            start => start,
        }
    }
}
