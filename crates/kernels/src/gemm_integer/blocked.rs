//! The blocking of an integer product: pieces of C for threads, strips of rows and panels of columns for registers.

use std::cell::Cell;
use std::ops::Range;

use super::pack::PackedRight;
use super::tile::{LeftRows, RunTile, Tile};
use super::{ByteMatrix, Bytes, ZeroPoints};
use crate::buffer::{AlignedBuffer, with_scratch};
use crate::gemm::{Start, run_edge};
use crate::matrix::Matrix;
use crate::parallel::{self, balanced};

/// The number of strips of rows of a piece: their bytes stay in the second-level cache for all panels.
const STRIPS: usize = 8;

/// The number of pieces that C is cut into, if it is large enough.
const PIECES: usize = 8;

thread_local! {
    static LEFT: Cell<AlignedBuffer<i16>> = const { Cell::new(AlignedBuffer::EMPTY) };
}

/// `rows = Σ (a - a_zero) · (b - b_zero)`.
pub(super) fn gemm(
    tile: &'static Tile,
    a: ByteMatrix<'_>,
    a_zero: ZeroPoints<'_>,
    b: &PackedRight,
    b_zero: ZeroPoints<'_>,
    rows: Vec<&mut [i32]>,
) {
    let (unsigned, signed);
    let (bytes, row_stride) = match a {
        ByteMatrix::U8(matrix) if matrix.column_stride == 1 => (Bytes::U8(matrix.data), matrix.row_stride),
        ByteMatrix::I8(matrix) if matrix.column_stride == 1 => (Bytes::I8(matrix.data), matrix.row_stride),
        ByteMatrix::U8(matrix) => {
            unsigned = row_major(matrix);
            (Bytes::U8(&unsigned), b.depth)
        }
        ByteMatrix::I8(matrix) => {
            signed = row_major(matrix);
            (Bytes::I8(&signed), b.depth)
        }
    };
    let left = LeftRows { bytes, row_stride, depth: b.depth };
    let correction = Correction::new(tile, left, a_zero, b, b_zero);
    let operations = rows.len() * b.columns * b.depth / 4;
    parallel::for_each(operations, cut(tile, rows), |piece| {
        multiply_piece(tile, left, b, &correction, piece)
    });
}

/// A part of C that one thread computes.
struct Piece<'a> {
    rows: Range<usize>,
    columns: Range<usize>,
    c: Vec<&'a mut [i32]>,
}

fn cut<'a>(tile: &Tile, rows: Vec<&'a mut [i32]>) -> Vec<Piece<'a>> {
    let (height, width) = (rows.len(), rows[0].len());
    let row_ranges = balanced(height, tile.rows * STRIPS);
    let panels = balanced(
        width.div_ceil(tile.columns),
        width.div_ceil(tile.columns * PIECES.div_ceil(row_ranges.len())),
    );
    let columns = |panels: &Range<usize>| panels.start * tile.columns..width.min(panels.end * tile.columns);
    let mut rows = rows.into_iter();
    let mut pieces = Vec::with_capacity(row_ranges.len() * panels.len());
    for row_range in row_ranges {
        let first = pieces.len();
        let piece = |panels| Piece { rows: row_range.clone(), columns: columns(&panels), c: Vec::new() };
        pieces.extend(panels.clone().map(piece));
        for mut row in rows.by_ref().take(row_range.len()) {
            for piece in &mut pieces[first..] {
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
    left: LeftRows<'_>,
    b: &PackedRight,
    correction: &Correction<'_>,
    mut piece: Piece<'_>,
) {
    let start = correction.start(left, &mut piece);
    let left = LeftRows { bytes: left.bytes.skip(piece.rows.start * left.row_stride), ..left };
    match tile.run {
        RunTile::Quads(run) | RunTile::SignedQuads(run) => {
            for_each_tile(tile, start, &mut piece, |rows, column, start, c, at| {
                let left = LeftRows { bytes: left.bytes.skip(rows.start * left.row_stride), ..left };
                run(left, b.quads(column, tile.columns), start, c, at);
            })
        }
        RunTile::Pairs(run) => {
            let padded = b.depth.next_multiple_of(2);
            with_scratch(&LEFT, piece.rows.len() * padded, |pairs| {
                for rows in balanced(piece.rows.len(), tile.rows) {
                    pack_pairs(left, rows.clone(), &mut pairs[rows.start * padded..rows.end * padded]);
                }
                for_each_tile(tile, start, &mut piece, |rows, column, start, c, at| {
                    run(
                        &pairs[rows.start * padded..rows.end * padded],
                        b.pairs(column, tile.columns),
                        start,
                        c,
                        at,
                    );
                });
            });
        }
    }
}

/// Calls `run` for each tile of a piece with its rows, its panel, its initial values and its part of C.
fn for_each_tile(
    tile: &Tile,
    start: Start<'_, i32>,
    piece: &mut Piece<'_>,
    run: impl Fn(Range<usize>, usize, Start<'_, i32>, &mut [&mut [i32]], usize),
) {
    let width = piece.columns.len();
    for column in (0..width).step_by(tile.columns) {
        let start = match start {
            Start::Columns(values) => Start::Columns(&values[column..]),
            start => start,
        };
        for rows in balanced(piece.rows.len(), tile.rows) {
            let c = &mut piece.c[rows.clone()];
            let panel = piece.columns.start + column;
            if width - column >= tile.columns {
                run(rows, panel, start, c, column);
            } else {
                run_edge(start, c, column, |start, c| run(rows, panel, start, c, 0));
            }
        }
    }
}

/// The terms that are missing in the sums of the tiles; see the module of the operation.
struct Correction<'a> {
    /// `a_zero + s`.
    a_zero: ZeroPoints<'a>,
    left_offset: i32,
    /// `b_zero - t`.
    b_zero: ZeroPoints<'a>,
    right_offset: i32,
    b: &'a PackedRight,
    /// One value for each column, if it is the same for all rows.
    columns: Option<Vec<i32>>,
}

impl<'a> Correction<'a> {
    fn new(
        tile: &Tile,
        left: LeftRows<'_>,
        a_zero: ZeroPoints<'a>,
        b: &'a PackedRight,
        b_zero: ZeroPoints<'a>,
    ) -> Correction<'a> {
        let left_offset = match (tile.run, left.bytes) {
            (RunTile::Quads(_), Bytes::I8(_)) => 128,
            (RunTile::SignedQuads(_), Bytes::U8(_)) => -128,
            _ => 0,
        };
        let no_right_zero = (0..b.columns).all(|column| b_zero.at(column) == b.offset);
        let columns = match a_zero {
            ZeroPoints::Scalar(zero) if no_right_zero => {
                let zero = zero.wrapping_add(left_offset);
                Some(b.column_sums.iter().map(|sum| sum.wrapping_mul(zero).wrapping_neg()).collect())
            }
            _ => None,
        };
        Correction { a_zero, left_offset, b_zero, right_offset: b.offset, b, columns }
    }

    /// The initial values for the tiles of a piece; values that differ by row and column are written to C.
    fn start(&self, left: LeftRows<'_>, piece: &mut Piece<'_>) -> Start<'_, i32> {
        if let Some(columns) = &self.columns {
            return Start::Columns(&columns[piece.columns.clone()]);
        }
        for (row, c) in piece.rows.clone().zip(&mut piece.c) {
            let sum = row_sum(left, row).wrapping_add((left.depth as i32).wrapping_mul(self.left_offset));
            let a_zero = self.a_zero.at(row).wrapping_add(self.left_offset);
            let rest = (left.depth as i32).wrapping_mul(a_zero).wrapping_sub(sum);
            for (column, c) in piece.columns.clone().zip(c.iter_mut()) {
                let b_zero = self.b_zero.at(column).wrapping_sub(self.right_offset);
                *c = b_zero.wrapping_mul(rest).wrapping_sub(a_zero.wrapping_mul(self.b.column_sums[column]));
            }
        }
        Start::Continue
    }
}

fn row_sum(left: LeftRows<'_>, row: usize) -> i32 {
    let range = row * left.row_stride..row * left.row_stride + left.depth;
    match left.bytes {
        Bytes::U8(bytes) => bytes[range].iter().fold(0i32, |sum, byte| sum.wrapping_add((*byte).into())),
        Bytes::I8(bytes) => bytes[range].iter().fold(0i32, |sum, byte| sum.wrapping_add((*byte).into())),
    }
}

/// Interleaves rows as pairs of 16-bit numbers, padded with zeros.
fn pack_pairs(left: LeftRows<'_>, rows: Range<usize>, pairs: &mut [i16]) {
    let height = rows.len();
    if left.depth % 2 == 1 {
        pairs[(left.depth - 1) * height..].fill(0);
    }
    for (i, row) in rows.enumerate() {
        let range = row * left.row_stride..row * left.row_stride + left.depth;
        match left.bytes {
            Bytes::U8(bytes) => scatter_pairs(&bytes[range], i, height, pairs),
            Bytes::I8(bytes) => scatter_pairs(&bytes[range], i, height, pairs),
        }
    }
}

fn scatter_pairs<T: Copy + Into<i16>>(row: &[T], i: usize, height: usize, pairs: &mut [i16]) {
    for (group, pair) in row.chunks(2).zip(pairs.chunks_exact_mut(2 * height)) {
        for (from, to) in group.iter().zip(&mut pair[2 * i..]) {
            *to = (*from).into();
        }
    }
}

fn row_major<T: Copy>(matrix: Matrix<'_, T>) -> Vec<T> {
    (0..matrix.rows).flat_map(|row| (0..matrix.columns).map(move |column| matrix.at(row, column))).collect()
}
