//! Packed right factors, in the order in which the tiles read them: panels with the width of a tile over the whole
//! depth;
//! a panel holds, for one column after the other, groups of four or two neighbours along the depth.

use super::ByteMatrix;
use super::tile::{RunTile, Tile};
use crate::buffer::AlignedBuffer;
use crate::matrix::Matrix;
use crate::parallel;

/// A right factor packed for one kernel.
#[derive(Debug)]
pub struct PackedRight {
    pub(super) kernel: &'static str,
    pub(super) depth: usize,
    pub(super) columns: usize,
    /// The number that was subtracted from each element to obtain a signed byte.
    pub(super) offset: i32,
    /// The sums of the columns as packed.
    pub(super) column_sums: Vec<i32>,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Quads(AlignedBuffer<i8>),
    Pairs(AlignedBuffer<i16>),
    /// In row-major order, which is what the reference reads.
    Plain(Vec<i16>),
}

impl PackedRight {
    pub(super) fn new(kernel: &'static str, tile: Option<&Tile>, matrix: ByteMatrix<'_>) -> PackedRight {
        let (depth, columns) = (matrix.rows(), matrix.columns());
        let mut column_sums = vec![0; columns];
        let len =
            |group: usize, width: usize| columns.next_multiple_of(width) * depth.next_multiple_of(group);
        let (data, offset) = match tile.map(|tile| (tile.run, tile.columns)) {
            None => {
                let cells = (0..depth).flat_map(|p| (0..columns).map(move |j| matrix.at(p, j) as i16));
                (Data::Plain(cells.collect()), 0)
            }
            Some((RunTile::Quads(_) | RunTile::SignedQuads(_), width)) => {
                let mut data = AlignedBuffer::new(len(4, width));
                let (quads, sums) = (data.as_mut_slice(), &mut column_sums);
                let offset = match matrix {
                    ByteMatrix::U8(matrix) => {
                        pack::<4, u8, i8>(matrix, width, |byte| (byte ^ 0x80) as i8, quads, sums);
                        128
                    }
                    ByteMatrix::I8(matrix) => {
                        pack::<4, i8, i8>(matrix, width, |byte| byte, quads, sums);
                        0
                    }
                };
                (Data::Quads(data), offset)
            }
            Some((RunTile::Pairs(_), width)) => {
                let mut data = AlignedBuffer::new(len(2, width));
                let (pairs, sums) = (data.as_mut_slice(), &mut column_sums);
                match matrix {
                    ByteMatrix::U8(matrix) => pack::<2, u8, i16>(matrix, width, i16::from, pairs, sums),
                    ByteMatrix::I8(matrix) => pack::<2, i8, i16>(matrix, width, i16::from, pairs, sums),
                }
                (Data::Pairs(data), 0)
            }
        };
        PackedRight { kernel, depth, columns, offset, column_sums, data }
    }

    /// The panel of signed bytes that begins at `column`.
    pub(super) fn quads(&self, column: usize, width: usize) -> &[i8] {
        let Data::Quads(data) = &self.data else { unreachable!("packed by another kernel") };
        let depth = self.depth.next_multiple_of(4);
        &data.as_slice()[column * depth..(column + width) * depth]
    }

    /// The panel of 16-bit numbers that begins at `column`.
    pub(super) fn pairs(&self, column: usize, width: usize) -> &[i16] {
        let Data::Pairs(data) = &self.data else { unreachable!("packed by another kernel") };
        let depth = self.depth.next_multiple_of(2);
        &data.as_slice()[column * depth..(column + width) * depth]
    }

    /// An element of a factor packed by the reference.
    pub(super) fn at(&self, p: usize, column: usize) -> i32 {
        let Data::Plain(data) = &self.data else { unreachable!("packed by another kernel") };
        data[p * self.columns + column].into()
    }
}

/// Packs panel by panel, in groups of `GROUP` neighbours along the depth, padded with zeros; also returns the sums of
/// the columns.
fn pack<const GROUP: usize, S: Copy + Sync, T: Copy + Default + Into<i32> + Send>(
    matrix: Matrix<'_, S>,
    width: usize,
    convert: impl Fn(S) -> T + Copy + Sync + Send,
    data: &mut [T],
    sums: &mut [i32],
) {
    let (depth, columns) = (matrix.rows, matrix.columns);
    if depth == 0 || columns == 0 {
        return;
    }
    let panels = data.chunks_exact_mut(depth.next_multiple_of(GROUP) * width).zip(sums.chunks_mut(width));
    parallel::for_each(depth * columns, panels.enumerate().collect(), |(panel, (data, sums))| {
        let first = panel * width;
        for (group, cells) in data.as_chunks_mut::<GROUP>().0.chunks_exact_mut(width).enumerate() {
            let (p, whole) = (group * GROUP, depth >= (group + 1) * GROUP && columns >= first + width);
            if whole && matrix.column_stride == 1 {
                let row = |i: usize| &matrix.data[(p + i) * matrix.row_stride + first..][..width];
                let rows: [&[S]; GROUP] = std::array::from_fn(row);
                for (j, cell) in cells.iter_mut().enumerate() {
                    *cell = std::array::from_fn(|i| convert(rows[i][j]));
                }
            } else if whole && matrix.row_stride == 1 {
                for (j, cell) in cells.iter_mut().enumerate() {
                    let column = &matrix.data[(first + j) * matrix.column_stride + p..][..GROUP];
                    *cell = std::array::from_fn(|i| convert(column[i]));
                }
            } else {
                for (j, cell) in cells.iter_mut().enumerate() {
                    let inside = |i: usize| p + i < depth && first + j < columns;
                    let at = |i: usize| {
                        if inside(i) { convert(matrix.at(p + i, first + j)) } else { T::default() }
                    };
                    *cell = std::array::from_fn(at);
                }
            }
            for (sum, cell) in sums.iter_mut().zip(cells) {
                *sum = cell.iter().fold(*sum, |sum, value| sum.wrapping_add((*value).into()));
            }
        }
    });
}
