//! Depthwise convolution of blocked inputs: weighted sums of vectors of 16 channels, without a copy of the input.
//! Taps on padding are skipped: whole lines of them for a row of the output, and single ones by masks of its pixels.

use std::ops::Range;

use super::epilogue::Output;
use super::tile::{Finish, Residual, Tile};
use crate::blocked::BLOCK;
use crate::parallel::{self, balanced};
use crate::window::Window;

/// The rows of a piece of a plane.
const PIECE_ROWS: usize = 16;

/// The operands of a depthwise convolution with as many output as input channels.
pub(super) struct Depthwise<'a> {
    pub(super) tile: &'static Tile,
    pub(super) plan: &'a DepthwisePlan,
    /// Blocks of channels.
    pub(super) blocks: usize,
    /// `[blocks, taps, 16]`
    pub(super) weights: &'a [f32],
    /// One for each channel, filled up with zeros.
    pub(super) bias: &'a [f32],
}

/// The taps of all outputs.
///
/// For each line of each row and each tap that a mask of some columns selects, the 16 elements from
/// `line.input + column.first + tap · tap_step + pixel · pixel_step` on lie in a plane of the input.
#[derive(Debug)]
pub(super) struct DepthwisePlan {
    window: Window,
    /// For each row of the output, over all depths, a range of the lines.
    rows: Vec<Range<usize>>,
    lines: Vec<Line>,
    columns: Vec<Columns>,
}

/// The taps of a row of the window that lie on the same row of the input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Where the row of the input begins.
    pub(super) input: usize,
    /// Where the weights of the row of the window begin.
    pub(super) weights: usize,
}

/// Neighbouring columns of the output that a tile computes together.
#[derive(Debug)]
pub(super) struct Columns {
    outputs: Range<usize>,
    /// Where the first tap of the first pixel reads in a row, which may be before it.
    pub(super) first: isize,
    /// For each tap of a row of the window, the pixels for which it does not lie on padding.
    pub(super) masks: Vec<u32>,
}

impl Columns {
    /// The number of pixels.
    pub(super) fn len(&self) -> usize {
        self.outputs.len()
    }
}

impl DepthwisePlan {
    /// The taps for tiles of at most `most` pixels.
    pub(super) fn new(window: Window, most: usize) -> DepthwisePlan {
        let [_, height, width] = window.input;
        let (mut rows, mut lines) = (Vec::new(), Vec::new());
        for depth in 0..window.output[0] {
            for row in 0..window.output[1] {
                let first = lines.len();
                for d in window.taps_inside(0, depth) {
                    for h in window.taps_inside(1, row) {
                        let line = window.position(0, depth, d) * height + window.position(1, row, h);
                        let taps = (d * window.kernel[1] + h) * window.kernel[2];
                        lines.push(Line { input: line * width * BLOCK, weights: taps * BLOCK });
                    }
                }
                rows.push(first..lines.len());
            }
        }
        let columns = balanced(window.output[2], most).map(|outputs| {
            let mask = |tap| {
                let inside = |pixel: &usize| window.source(2, outputs.start + pixel, tap).is_some();
                (0..outputs.len()).filter(inside).fold(0, |mask, pixel| mask | 1 << pixel)
            };
            let first = (outputs.start * window.strides[2]) as isize - window.pads_begin[2] as isize;
            let masks = (0..window.kernel[2]).map(mask).collect();
            Columns { first: first.wrapping_mul(BLOCK as isize), masks, outputs }
        });
        DepthwisePlan { rows, lines, columns: columns.collect(), window }
    }
}

/// The operands of some rows of a plane of the output, for the tiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct DepthwiseRows<'a> {
    plan: &'a DepthwisePlan,
    /// The first row.
    first: usize,
    /// The plane of the input.
    pub(super) input: &'a [f32],
    /// `[taps, 16]`
    pub(super) weights: &'a [f32],
    /// The initial values, 16.
    pub(super) bias: &'a [f32],
    pub(super) finish: Finish<'a>,
}

impl DepthwiseRows<'_> {
    /// The distance of neighbouring pixels of the output in the input.
    pub(super) fn pixel_step(&self) -> usize {
        self.plan.window.strides[2] * BLOCK
    }

    /// The distance of neighbouring taps of a row of the window in the input.
    pub(super) fn tap_step(&self) -> usize {
        self.plan.window.dilations[2] * BLOCK
    }

    /// Panics if a slice is too short for some columns of the output, of which there are `pixels`.
    #[inline]
    pub(super) fn check(&self, columns: &Columns, pixels: usize, output: &[f32]) {
        let window = &self.plan.window;
        assert_eq!(columns.len(), pixels, "the tile was chosen by its pixels");
        assert_eq!(columns.masks.len(), window.kernel[2], "one mask for each tap");
        assert_eq!(self.input.len(), window.input_len() * BLOCK, "the input is not a plane");
        assert_eq!(self.weights.len(), window.taps() * BLOCK, "the weights are not those of a plane");
        assert!(self.bias.len() >= BLOCK, "too few biases");
        if let Some(residual) = self.finish.residual {
            assert!(residual.data.len() >= output.len(), "the residual is too short");
        }
    }

    /// For each row its lines, the residual and the results of some columns.
    #[inline(always)]
    pub(super) fn each<'o>(
        &self,
        columns: &Columns,
        output: &'o mut [f32],
    ) -> impl Iterator<Item = (&[Line], Finish<'_>, &'o mut [f32])> {
        let row_len = self.plan.window.output[2] * BLOCK;
        let rows = self.plan.rows[self.first..].iter().zip(output.chunks_exact_mut(row_len)).enumerate();
        let [start, end] = [columns.outputs.start, columns.outputs.end].map(|column| column * BLOCK);
        rows.map(move |(i, (lines, row))| {
            let residual = self.finish.residual;
            let residual = residual.map(|residual| residual.from(i * row_len + start));
            (&self.plan.lines[lines.clone()], Finish { residual, ..self.finish }, &mut row[start..end])
        })
    }
}

impl Depthwise<'_> {
    /// Computes all images.
    pub(super) fn run(&self, input: &[f32], output: Output<'_>) {
        let Output { data, residual, activation, .. } = output;
        let window = &self.plan.window;
        let (taps, row_len) = (window.taps(), window.output[2] * BLOCK);
        let (in_len, out_len) = (window.input_len() * BLOCK, window.output_len() * BLOCK);
        let operations = data.len() * taps * parallel::TAP_COST;
        let planes = data.chunks_exact_mut(out_len).enumerate();
        let pieces = planes.flat_map(|(plane, rows)| {
            let pieces = rows.chunks_mut(PIECE_ROWS * row_len).enumerate();
            pieces.map(move |(piece, rows)| (plane, piece * PIECE_ROWS, rows))
        });
        parallel::for_each(operations, pieces.collect(), |(plane, first, output)| {
            let block = plane % self.blocks;
            let residual = residual.map(|residual| {
                let start = plane * out_len + first * row_len;
                Residual { data: &residual[start..][..output.len()], stride: 0 }
            });
            let rows = DepthwiseRows {
                plan: self.plan,
                first,
                input: &input[plane * in_len..][..in_len],
                weights: &self.weights[block * taps * BLOCK..][..taps * BLOCK],
                bias: &self.bias[block * BLOCK..][..BLOCK],
                finish: Finish { residual, clamp: activation.clamp },
            };
            for columns in &self.plan.columns {
                (self.tile.run_depthwise)(&rows, columns, output);
            }
            activation.apply(output);
        });
    }
}
