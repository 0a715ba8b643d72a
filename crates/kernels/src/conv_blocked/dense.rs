//! Convolution of blocked or plain inputs by tiles: strips of the output, in which one stretch of the depth after the
//! other is added for groups of output blocks.

use std::cell::Cell;
use std::ops::Range;

use super::epilogue::Activation;
use super::plan::Plan;
use super::tile::{Finish, Residual, Stretch, Tile};
use super::{BLOCK, Output};
use crate::buffer::{AlignedBuffer, with_scratch};
use crate::gemm::depth_blocks;
use crate::parallel::{self, balanced};

thread_local! {
    static SHEET: Cell<AlignedBuffer<f32>> = const { Cell::new(AlignedBuffer::EMPTY) };
}

/// The number of pieces that an output is cut into for several threads, if it is large enough.
const PIECES: usize = 8;

/// The packed weights of a convolution.
#[derive(Debug)]
pub(super) struct Dense<'a> {
    pub(super) tile: &'static Tile,
    pub(super) plan: &'a Plan,
    /// The number of groups of channels.
    pub(super) groups: usize,
    /// The output blocks of one group, as the tile computes them together.
    pub(super) block_groups: &'a [Range<usize>],
    /// For each group of blocks `[depth, blocks, 16]`.
    pub(super) weights: &'a [f32],
    /// One for each output channel, filled up with zeros.
    pub(super) bias: &'a [f32],
}

/// A part of the output that one thread computes: some groups of blocks of a strip.
struct Piece<'a> {
    image: usize,
    group: usize,
    strip: usize,
    block_groups: Range<usize>,
    c: Vec<&'a mut [f32]>,
}

impl Dense<'_> {
    /// Computes all images.
    pub(super) fn run(&self, input: &[f32], output: Output<'_>) {
        let Output { data, residual, activation, batch } = output;
        let operations = data.len() * self.steps();
        let pieces = self.cut(data, batch, parallel::is_parallel(operations));
        parallel::for_each(operations, pieces, |piece| {
            let first = (piece.image * self.groups + piece.group) * self.plan.group_len;
            let input = &input[first..][..self.plan.group_len];
            let strip = &self.plan.strips[piece.strip];
            match &self.plan.sheet {
                None => self.run_piece(self.plan.in_place(strip, input), residual, activation, piece),
                Some(sheet) => with_scratch(&SHEET, sheet.len(), |copy| {
                    sheet.fill(strip, input, copy);
                    self.run_piece(copy, residual, activation, piece);
                }),
            }
        });
    }

    /// The length of a sum.
    fn steps(&self) -> usize {
        self.plan.steps.len()
    }

    fn blocks(&self) -> usize {
        self.block_groups.last().map_or(0, |last| last.end)
    }

    fn cut<'a>(&self, output: &'a mut [f32], batch: usize, is_parallel: bool) -> Vec<Piece<'a>> {
        let strips = &self.plan.strips;
        let wholes = batch * self.groups * strips.len();
        let parts = if is_parallel { PIECES.div_ceil(wholes).min(self.block_groups.len()) } else { 1 };
        let parts: Vec<Range<usize>> =
            balanced(self.block_groups.len(), self.block_groups.len().div_ceil(parts)).collect();
        let mut pieces = Vec::with_capacity(wholes * parts.len());
        let mut planes = output.chunks_exact_mut(self.plan.window.output_len() * BLOCK);
        for image in 0..batch {
            for group in 0..self.groups {
                for part in &parts {
                    let block_groups = &self.block_groups[part.clone()];
                    let n_blocks: usize = block_groups.iter().map(|blocks| blocks.len()).sum();
                    let first = pieces.len();
                    pieces.extend((0..strips.len()).map(|strip| Piece {
                        image,
                        group,
                        strip,
                        block_groups: part.clone(),
                        c: Vec::with_capacity(n_blocks),
                    }));
                    for mut plane in planes.by_ref().take(n_blocks) {
                        for (piece, strip) in pieces[first..].iter_mut().zip(strips) {
                            let (head, tail) = plane.split_at_mut(strip.len() * BLOCK);
                            piece.c.push(head);
                            plane = tail;
                        }
                    }
                }
            }
        }
        pieces
    }

    /// `input` begins at the first window of the strip.
    fn run_piece(&self, input: &[f32], residual: Option<&[f32]>, activation: Activation, piece: Piece<'_>) {
        let Piece { image, group, strip, block_groups, mut c } = piece;
        let (steps, plane_len) = (self.steps(), self.plan.window.output_len() * BLOCK);
        let strip_start: usize = self.plan.strips[..strip].iter().map(|strip| strip.len()).sum();
        let strip = &self.plan.strips[strip];
        let mut c = &mut c[..];
        for blocks in &self.block_groups[block_groups] {
            let first_block = group * self.blocks() + blocks.start;
            let (rows, rest) = c.split_at_mut(blocks.len());
            c = rest;
            let weights = &self.weights[first_block * steps * BLOCK..][..blocks.len() * steps * BLOCK];
            let residual = residual.map(|data| {
                let first = (image * self.groups * self.blocks() + first_block) * plane_len;
                Residual { data: &data[first + strip_start * BLOCK..], stride: plane_len }
            });
            let most = (self.tile.pixels)(blocks.len());
            for depth in depth_blocks(steps) {
                let (starts, ends) = (depth.start == 0, depth.end == steps);
                let row_len = blocks.len() * BLOCK;
                let finish = Some(Finish { residual, clamp: activation.clamp });
                let stretch = Stretch {
                    input,
                    pixel: self.plan.pixel,
                    steps: self.plan.steps.slice(depth.clone()),
                    weights: &weights[depth.start * row_len..depth.end * row_len],
                    bias: starts.then(|| &self.bias[first_block * BLOCK..][..row_len]),
                    finish: finish.filter(|_| ends),
                };
                let steps = self.plan.steps.slice(0..0);
                let bias_alone = Stretch { steps, weights: &[], finish, ..stretch };
                for row in 0..strip.rows.len() {
                    let reads_padding_only = self.plan.is_outside(strip, row);
                    if reads_padding_only && !starts {
                        continue;
                    }
                    let stretch = if reads_padding_only { bias_alone } else { stretch };
                    for columns in balanced(strip.columns.len(), most) {
                        let pixel = row * strip.columns.len() + columns.start;
                        let stretch = Stretch {
                            input: &input[row * self.plan.row_step + columns.start * self.plan.pixel..],
                            finish: stretch.finish.map(|finish| finish.at_pixel(pixel)),
                            ..stretch
                        };
                        (self.tile.run)(&stretch, columns.len(), rows, pixel * BLOCK);
                    }
                }
            }
            rows.iter_mut().for_each(|row| activation.apply(row));
        }
    }
}
