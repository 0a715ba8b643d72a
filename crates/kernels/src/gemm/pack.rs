//! Packed operands, in the order in which the tiles read them.
//! Both are cut into blocks along the depth; a block consists of panels with the height (left) or width (right) of a
//! tile.

use std::ops::Range;

use wide::f32x4;

use super::tile::Tile;
use crate::buffer::AlignedBuffer;
use crate::isa::{Isa, Loops};
use crate::matrix::Matrix;
use crate::parallel::{self, balanced};
use crate::transpose::transpose_into;

/// The depth of a block: a right panel of it stays in the first-level cache, a left block in the second.
pub(crate) const DEPTH_BLOCK: usize = 128;

/// The approximate cost of packing, in operations per element.
const COST: usize = 8;

/// A left factor packed for one kernel.
#[derive(Debug)]
pub struct PackedLeft {
    pub(super) kernel: &'static str,
    pub(super) rows: usize,
    pub(super) depth: usize,
    /// The largest number of rows of a panel.
    panel_rows: usize,
    data: AlignedBuffer<f32>,
}

/// A right factor packed for one kernel.
#[derive(Debug)]
pub struct PackedRight {
    pub(super) kernel: &'static str,
    pub(super) depth: usize,
    pub(super) columns: usize,
    panel_columns: usize,
    data: AlignedBuffer<f32>,
}

impl PackedLeft {
    /// Without a tile the elements stay in row-major order, which is what the reference reads.
    pub(super) fn new(kernel: &'static str, tile: Option<&Tile>, matrix: Matrix<'_, f32>) -> PackedLeft {
        PackedLeft::within(AlignedBuffer::EMPTY, kernel, tile, matrix)
    }

    /// As [`new`](Self::new), with the memory of `data`.
    pub(super) fn within(
        mut data: AlignedBuffer<f32>,
        kernel: &'static str,
        tile: Option<&Tile>,
        matrix: Matrix<'_, f32>,
    ) -> PackedLeft {
        let (rows, depth) = (matrix.rows, matrix.columns);
        data.resize(rows * depth);
        match tile {
            None => copy_row_major(matrix, data.as_mut_slice()),
            Some(_) if rows * depth == 0 => {}
            Some(tile) => {
                let blocks =
                    depth_blocks(depth).zip(data.as_mut_slice().chunks_mut(rows * DEPTH_BLOCK)).collect();
                parallel::for_each(COST * rows * depth, blocks, |(block, data)| {
                    pack_left_block(tile, matrix, block, data)
                });
            }
        }
        PackedLeft { kernel, rows, depth, panel_rows: tile.map_or(1, |tile| tile.rows), data }
    }

    /// The memory, for another factor.
    pub(super) fn into_buffer(self) -> AlignedBuffer<f32> {
        self.data
    }

    /// The number of columns, which is the length of each chain.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// The number of panels of rows.
    pub(crate) fn panels(&self) -> usize {
        self.rows.div_ceil(self.panel_rows)
    }

    /// The rows of some panels, whose heights differ by at most one.
    pub(crate) fn panel_rows(&self, panels: Range<usize>) -> Range<usize> {
        let count = self.panels();
        panels.start * self.rows / count..panels.end * self.rows / count
    }

    /// A part of the depth, within one block, of the panel with these rows, interleaved.
    pub(super) fn panel(&self, rows: Range<usize>, depth: Range<usize>) -> &[f32] {
        let block = depth.start / DEPTH_BLOCK * DEPTH_BLOCK;
        let block_len = DEPTH_BLOCK.min(self.depth - block);
        let start = block * self.rows + rows.start * block_len + rows.len() * (depth.start - block);
        &self.data.as_slice()[start..start + rows.len() * depth.len()]
    }

    /// An element of a factor packed by the reference.
    pub(super) fn at(&self, row: usize, p: usize) -> f32 {
        self.data.as_slice()[row * self.depth + p]
    }
}

impl PackedRight {
    /// Without a tile the elements stay in row-major order, which is what the reference reads.
    pub(super) fn new(kernel: &'static str, tile: Option<&Tile>, matrix: Matrix<'_, f32>) -> PackedRight {
        let (depth, columns) = (matrix.rows, matrix.columns);
        let Some(tile) = tile else {
            let mut data = AlignedBuffer::new(depth * columns);
            copy_row_major(matrix, data.as_mut_slice());
            return PackedRight { kernel, depth, columns, panel_columns: 1, data };
        };
        let padded = columns.next_multiple_of(tile.columns);
        let mut data = AlignedBuffer::new(depth * padded);
        if depth * padded > 0 {
            let blocks =
                depth_blocks(depth).zip(data.as_mut_slice().chunks_mut(padded * DEPTH_BLOCK)).collect();
            parallel::for_each(COST * depth * columns, blocks, |(block, data)| {
                pack_right_block(tile, matrix, block, 0..columns, data);
            });
        }
        PackedRight { kernel, depth, columns, panel_columns: tile.columns, data }
    }

    /// The panels of the block `depth`, from the one that begins at `column` on.
    pub(super) fn panels(&self, depth: Range<usize>, column: usize) -> &[f32] {
        let padded = self.columns.next_multiple_of(self.panel_columns);
        &self.data.as_slice()[depth.start * padded + column * depth.len()..depth.end * padded]
    }

    /// An element of a factor packed by the reference.
    pub(super) fn at(&self, p: usize, column: usize) -> f32 {
        self.data.as_slice()[p * self.columns + column]
    }
}

/// The blocks that a depth is cut into; all but the last have the full size.
pub(crate) fn depth_blocks(depth: usize) -> impl Iterator<Item = Range<usize>> {
    (0..depth).step_by(DEPTH_BLOCK).map(move |start| start..depth.min(start + DEPTH_BLOCK))
}

/// Packs all rows of the block `depth`, each panel of rows interleaved.
fn pack_left_block(tile: &Tile, matrix: Matrix<'_, f32>, depth: Range<usize>, data: &mut [f32]) {
    for rows in balanced(matrix.rows, tile.rows) {
        let panel = &mut data[rows.start * depth.len()..rows.end * depth.len()];
        let height = rows.len();
        if matrix.row_stride == 1 {
            for (p, group) in depth.clone().zip(panel.chunks_exact_mut(height)) {
                let start = p * matrix.column_stride + rows.start;
                group.copy_from_slice(&matrix.data[start..start + height]);
            }
            continue;
        }
        let data = &matrix.data[rows.start * matrix.row_stride + depth.start * matrix.column_stride..];
        let source = Matrix { data, rows: height, columns: depth.len(), ..matrix };
        let packed = if matrix.column_stride == 1 { interleave_fours(source, panel) } else { 0 };
        for (p, group) in panel.chunks_exact_mut(height).enumerate().skip(packed) {
            for (i, value) in group.iter_mut().enumerate() {
                *value = source.at(i, p);
            }
        }
    }
}

/// Interleaves rows with adjacent elements in blocks of 4 × 4; returns the number of interleaved columns.
fn interleave_fours(source: Matrix<'_, f32>, panel: &mut [f32]) -> usize {
    let (height, fours) = (source.rows, source.columns / 4 * 4);
    if height < 4 {
        return 0;
    }
    for first in (0..height).step_by(4) {
        // The last four overlap the ones before.
        let first = first.min(height - 4);
        let row = |i: usize| &source.data[(first + i) * source.row_stride..][..fours];
        let rows = [row(0), row(1), row(2), row(3)].map(|row| row.as_chunks::<4>().0);
        for p in 0..fours / 4 {
            let block = f32x4::transpose(rows.map(|row| f32x4::new(row[p])));
            for (q, column) in block.into_iter().enumerate() {
                panel[(p * 4 + q) * height + first..][..4].copy_from_slice(&column.to_array());
            }
        }
    }
    fours
}

/// Packs `columns` of the block `depth` into panels, the last one padded with zeros.
pub(super) fn pack_right_block(
    tile: &Tile,
    matrix: Matrix<'_, f32>,
    depth: Range<usize>,
    columns: Range<usize>,
    data: &mut [f32],
) {
    match tile.columns {
        32 => Isa::best().run(PackRight::<32> { matrix, depth, columns, data }),
        16 => Isa::best().run(PackRight::<16> { matrix, depth, columns, data }),
        8 => Isa::best().run(PackRight::<8> { matrix, depth, columns, data }),
        width => unreachable!("no tile is {width} columns wide"),
    }
}

struct PackRight<'a, const WIDTH: usize> {
    matrix: Matrix<'a, f32>,
    depth: Range<usize>,
    columns: Range<usize>,
    data: &'a mut [f32],
}

impl<const WIDTH: usize> Loops for PackRight<'_, WIDTH> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        let PackRight { matrix, depth, columns, data } = self;
        let panel_len = WIDTH * depth.len();
        let whole = columns.len() / WIDTH * WIDTH;
        if matrix.column_stride == 1 {
            for (i, p) in depth.clone().enumerate() {
                let row = &matrix.data[p * matrix.row_stride + columns.start..][..whole];
                let targets = data[i * WIDTH..].chunks_mut(panel_len);
                for (source, target) in row.as_chunks::<WIDTH>().0.iter().zip(targets) {
                    target[..WIDTH].copy_from_slice(source);
                }
            }
        } else if matrix.row_stride == 1 {
            for (first, panel) in
                columns.clone().step_by(WIDTH).zip(data.chunks_mut(panel_len)).take(whole / WIDTH)
            {
                let data = &matrix.data[first * matrix.column_stride + depth.start..];
                let rows = Matrix { data, rows: WIDTH, columns: depth.len(), ..matrix.transposed() };
                transpose_into(rows, panel, WIDTH);
            }
        }
        let packed = if matrix.column_stride == 1 || matrix.row_stride == 1 { whole } else { 0 };
        for first in (packed..columns.len()).step_by(WIDTH) {
            let panel = &mut data[first * depth.len()..][..panel_len];
            for (p, row) in depth.clone().zip(panel.as_chunks_mut::<WIDTH>().0) {
                for (j, value) in row.iter_mut().enumerate() {
                    let column = first + j;
                    *value = if column < columns.len() { matrix.at(p, columns.start + column) } else { 0.0 };
                }
            }
        }
    }
}

fn copy_row_major(matrix: Matrix<'_, f32>, data: &mut [f32]) {
    for (row, target) in data.chunks_exact_mut(matrix.columns.max(1)).enumerate() {
        for (column, value) in target.iter_mut().enumerate() {
            *value = matrix.at(row, column);
        }
    }
}
