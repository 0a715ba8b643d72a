//! The contract between the loops of a blocked convolution, which are safe code, and the tiles, which are written for
//! one instruction set each.

use std::ops::Range;

use super::BLOCK;
use super::depthwise::{Columns, DepthwiseRows};
use crate::gemm::OffsetsSlice;

/// The computation of some pixels of some output blocks in registers, with one instruction set.
#[derive(Debug)]
pub(super) struct Tile {
    /// The name of the kernel.
    pub(super) name: &'static str,
    /// Whether a multiply-add is rounded once.
    pub(super) fused: bool,
    /// The number of output blocks to compute together, for rows of so many pixels.
    pub(super) blocks: fn(pixels: usize) -> usize,
    /// The largest number of pixels that fits into registers beside so many output blocks.
    pub(super) pixels: fn(blocks: usize) -> usize,
    /// Computes one tile.
    pub(super) run: RunTile,
    /// The largest number of pixels of a tile of a depthwise convolution.
    pub(super) depthwise_pixels: usize,
    /// Computes the tiles of some columns of a depthwise convolution.
    pub(super) run_depthwise: RunDepthwise,
}

/// Computes `c[v][first + 16 i + lane] = start + Σ input[steps[p] + i · pixel] · weights[(p · c.len() + v) · 16 + lane]`
/// for `i` from 0 to `pixels - 1`, as a chain of multiply-adds, and [finishes](Stretch::finish) it.
///
/// Panics if a slice is too short.
pub(super) type RunTile = fn(stretch: &Stretch<'_>, pixels: usize, c: &mut [&mut [f32]], first: usize);

/// The operands of a tile: one stretch of its depth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch<'a> {
    pub(super) input: &'a [f32],
    /// The distance of the pixels in the input: 16 or 1.
    pub(super) pixel: usize,
    /// Where each step of the depth begins in the input.
    pub(super) steps: OffsetsSlice<'a>,
    /// `[steps, blocks, 16]`
    pub(super) weights: &'a [f32],
    /// The initial values, one for each channel; none if C continues, and the sum of this stretch is added to it.
    pub(super) bias: Option<&'a [f32]>,
    /// What follows the last stretch.
    pub(super) finish: Option<Finish<'a>>,
}

/// Computes some columns of rows of a depthwise convolution: for each pixel `bias + Σ input · weights` over the taps of the
/// lines that the masks select, in order, as a chain of multiply-adds, and finishes it.
///
/// Panics if a slice is too short.
pub(super) type RunDepthwise = fn(rows: &DepthwiseRows<'_>, columns: &Columns, output: &mut [f32]);

/// The operations on a finished sum: the residual is added, then the result is clamped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finish<'a> {
    pub(super) residual: Option<Residual<'a>>,
    /// The bounds; a sum of NaN stays NaN.
    pub(super) clamp: Option<[f32; 2]>,
}

/// The summands of a tile: for pixel `i` of block `v` the 16 from `16 i + v · stride` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Residual<'a> {
    pub(super) data: &'a [f32],
    pub(super) stride: usize,
}

impl Stretch<'_> {
    /// Panics if a slice is too short for a tile.
    #[inline]
    pub(super) fn check(&self, pixels: usize, c: &[&mut [f32]], first: usize) {
        let (blocks, len) = (c.len(), pixels * BLOCK);
        let furthest = ((pixels - 1) * self.pixel).checked_add(self.steps.furthest());
        assert!(furthest.is_some_and(|last| last < self.input.len()), "the windows exceed the input");
        assert_eq!(
            self.weights.len(),
            self.steps.values().len() * blocks * BLOCK,
            "weights for another number of blocks"
        );
        assert!(self.bias.is_none_or(|bias| bias.len() >= blocks * BLOCK), "too few biases");
        let has_room = |row: &&mut [f32]| row.len().checked_sub(first).is_some_and(|rest| rest >= len);
        assert!(c.iter().all(has_room), "a block of the result is too short for the tile");
        if let Some(Finish { residual: Some(residual), .. }) = self.finish {
            let end = (blocks - 1).checked_mul(residual.stride).and_then(|last| last.checked_add(len));
            assert!(end.is_some_and(|end| end <= residual.data.len()), "the residual is too short");
        }
    }
}

impl<'a> Finish<'a> {
    /// The operations on the pixels from one on.
    pub(super) fn at_pixel(self, pixel: usize) -> Finish<'a> {
        let residual = self.residual.map(|residual| residual.from(pixel * BLOCK));
        Finish { residual, ..self }
    }
}

impl<'a> Residual<'a> {
    /// The summands from an element on.
    pub(super) fn from(self, first: usize) -> Residual<'a> {
        Residual { data: &self.data[first..], ..self }
    }
}

/// The numbers of output blocks that the tiles compute together.
const BLOCK_GROUPS: [usize; 5] = [8, 4, 3, 2, 1];

/// The ranges of output blocks that are computed together, each of at most `most`.
pub(super) fn block_groups(blocks: usize, most: usize) -> Vec<Range<usize>> {
    let (mut groups, mut start) = (Vec::new(), 0);
    while start < blocks {
        let fits = |size: &usize| *size <= most.min(blocks - start);
        let size = BLOCK_GROUPS.into_iter().find(fits).expect("a single block fits");
        groups.push(start..start + size);
        start += size;
    }
    groups
}
