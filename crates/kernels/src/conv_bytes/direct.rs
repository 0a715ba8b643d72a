//! Direct convolution: each tile reads the windows of some output positions where they are, without making rows of
//! them.
//!
//! With padding, or if a tile would read beyond the input, the tiles read a copy of the part of the image instead.

use std::cell::Cell;
use std::ops::Range;

use super::patch::{Layout, Patch, patches};
use super::{Bytes, Epilogue};
use crate::buffer::{AlignedBuffer, with_scratch};
use crate::byte_tile::{Left, PackedBytes, Product, Runs, Terms, Tile, WeightLayout};
use crate::conv::ConvShape;
use crate::epilogue::{SIGN, Target};
use crate::parallel;
use crate::window::{Spatial, Window};

thread_local! {
    static BYTES: Cell<AlignedBuffer<u8>> = const { Cell::new(AlignedBuffer::EMPTY) };
    static NUMBERS: Cell<AlignedBuffer<i16>> = const { Cell::new(AlignedBuffer::EMPTY) };
}

/// What a tile may read beyond the last window of a copy: less than a group.
const SLACK: usize = 4;

/// Whether a row of taps is one run: the channels of neighbouring taps are adjacent.
fn joins_taps(shape: &ConvShape, window: &Window) -> bool {
    shape.groups == 1 && (window.dilations[2] == 1 || window.kernel[2] == 1)
}

/// The first tap of each run.
fn run_taps(window: &Window, joins_taps: bool) -> impl Iterator<Item = Spatial> {
    window.tap_positions().filter(move |[_, _, column]| !joins_taps || *column == 0)
}

fn run_len(shape: &ConvShape, window: &Window, joins_taps: bool) -> usize {
    shape.group_in_channels() * if joins_taps { window.kernel[2] } else { 1 }
}

/// Packs weights in the order of ONNX, without zero points.
pub(super) fn pack(tile: &Tile, shape: &ConvShape, window: &Window, weights: &[i16]) -> PackedBytes {
    let joins_taps = joins_taps(shape, window);
    let (channels, run_taps) = (shape.group_in_channels(), if joins_taps { window.kernel[2] } else { 1 });
    let layout = WeightLayout {
        groups: shape.groups,
        group_columns: shape.group_out_channels(),
        group_inputs: channels,
        runs: window.taps() / run_taps,
        run_len: run_taps * channels,
    };
    PackedBytes::new(tile, layout, |column, run, i| {
        let (tap, channel) = (run * run_taps + i / channels, i % channels);
        weights[(column * channels + channel) * window.taps() + tap]
    })
}

/// The operands that all parts share.
struct Layer<'a> {
    tile: &'static Tile,
    window: Window,
    weights: &'a PackedBytes,
    terms: &'a Terms,
    channels: usize,
    bytes: &'a [u8],
    is_signed: bool,
    /// The zero point of the bytes as they are read.
    zero: i32,
    /// The layout of the input and the runs in it, if there is no padding.
    in_place: Option<(Layout, Runs)>,
    copied: (Layout, Runs),
}

/// Some patches and panels.
struct Part<'a> {
    patches: &'a [Patch],
    panels: Range<usize>,
    target: Target<'a>,
    stride: usize,
}

/// Convolves.
#[expect(clippy::too_many_arguments, reason = "the operands of a convolution, and how to compute it")]
pub(super) fn conv(
    tile: &'static Tile,
    shape: &ConvShape,
    window: Window,
    weights: &PackedBytes,
    input: Bytes<'_>,
    zero: i32,
    epilogue: Epilogue<'_>,
    target: Target<'_>,
) {
    let joins_taps = joins_taps(shape, &window);
    let (batch, window) = flattened(shape.batch, window);
    let makes_bytes = matches!(target, Target::Bytes(..));
    let (bytes, is_signed) = input.bits();
    let terms = Terms::new(tile, weights, epilogue, zero, is_signed, makes_bytes);
    let patches = patches(batch, &window, tile.strip());
    let runs = |layout: &Layout| {
        let starts = run_taps(&window, joins_taps).map(|tap| layout.tap(tap)).collect();
        Runs::new(tile, starts, run_len(shape, &window, joins_taps))
    };
    let is_padded = (0..3).any(|axis| {
        let last = (window.output[axis] - 1) * window.strides[axis]
            + (window.kernel[axis] - 1) * window.dilations[axis];
        window.pads_begin[axis] > 0 || last >= window.input[axis]
    });
    let in_place = (tile.reads_bytes() && !is_padded).then(|| Layout::in_place(&window, shape.in_channels));
    let copied = Layout::copied(&window, shape.in_channels, &patches);
    let layer = Layer {
        tile,
        weights,
        terms: &terms,
        channels: shape.in_channels,
        bytes,
        is_signed,
        zero: if is_signed { zero + 128 } else { zero },
        in_place: in_place.map(|layout| (layout, runs(&layout))),
        copied: (copied, runs(&copied)),
        window,
    };
    let depth = shape.group_in_channels() * window.taps();
    layer.run(&patches, target, depth, shape.out_channels);
}

/// A convolution whose windows are single positions, in order, as one with one dimension, so that tiles are not cut at
/// the ends of rows and images.
fn flattened(batch: usize, window: Window) -> (usize, Window) {
    if !window.is_pointwise() {
        return (batch, window);
    }
    let sizes = [1, 1, batch * window.input_len()];
    (1, Window { input: sizes, output: sizes, ..window })
}

/// The number of parts that are enough for the threads of most machines.
const PARTS: usize = 8;

/// The smallest number of products that are a part of their own.
const PART_OPERATIONS: usize = 1 << 20;

/// The operations of the policy for threads that a result takes besides its products.
const EPILOGUE_COST: usize = 2;

impl Layer<'_> {
    fn run(&self, patches: &[Patch], target: Target<'_>, depth: usize, out_channels: usize) {
        let n_panels = self.weights.n_panels();
        let operations = target.len() * (depth / self.tile.products + EPILOGUE_COST);
        if !parallel::is_parallel(operations) {
            self.run_part(Part { patches, panels: 0..n_panels, target, stride: out_channels });
            return;
        }
        let patch_operations = target.len() / patches.len() * depth;
        let group = PART_OPERATIONS.div_ceil(patch_operations.max(1)).min(patches.len().div_ceil(PARTS));
        let groups: Vec<&[Patch]> = patches.chunks(group.max(1)).collect();
        if groups.len() >= PARTS || n_panels == 1 {
            let lens = groups.iter().map(|group| n_positions(group) * out_channels);
            let targets = target.split(lens);
            let parts = groups.into_iter().zip(targets).map(|(patches, target)| Part {
                patches,
                panels: 0..n_panels,
                target,
                stride: out_channels,
            });
            parallel::for_each(operations, parts.collect(), |part| self.run_part(part));
        } else {
            self.run_columns(operations, &groups, target, out_channels);
        }
    }

    /// Splits the panels too: parts are not adjacent in the output, so they are computed elsewhere and copied.
    fn run_columns(&self, operations: usize, groups: &[&[Patch]], target: Target<'_>, out_channels: usize) {
        let n_panels = self.weights.n_panels();
        let ranges: Vec<Range<usize>> =
            parallel::balanced(n_panels, n_panels.div_ceil(PARTS.div_ceil(groups.len()))).collect();
        let columns = |panels: &Range<usize>| {
            self.weights.columns(panels.start).start..self.weights.columns(panels.end - 1).end
        };
        let of_parts: Vec<(&[Patch], Range<usize>)> =
            groups.iter().flat_map(|group| ranges.iter().map(move |range| (*group, range.clone()))).collect();
        let lens = of_parts.iter().map(|(patches, panels)| n_positions(patches) * columns(panels).len());
        let mut scratch = target.same_kind();
        let parts =
            scratch.target().split(lens).into_iter().zip(&of_parts).map(|(target, (patches, panels))| Part {
                patches,
                panels: panels.clone(),
                target,
                stride: columns(panels).len(),
            });
        parallel::for_each(operations, parts.collect(), |part| self.run_part(part));
        let mut from = 0;
        let mut first = 0;
        let mut target = target;
        for (i, (patches, panels)) in of_parts.iter().enumerate() {
            let columns = columns(panels);
            let positions = n_positions(patches);
            for position in 0..positions {
                let to = (first + position) * out_channels + columns.start;
                target.copy_from(to, &scratch, from..from + columns.len());
                from += columns.len();
            }
            if (i + 1) % ranges.len() == 0 {
                first += positions;
            }
        }
    }

    fn run_part(&self, mut part: Part<'_>) {
        let mut done = 0;
        let mut starts = Vec::with_capacity(self.tile.strip() * 2);
        for patch in part.patches {
            starts.clear();
            let target = part.target.from(done * part.stride);
            self.run_patch(patch, &mut starts, part.panels.clone(), target, part.stride);
            done += patch.len();
        }
    }

    fn product<'a>(&'a self, left: Left<'a>, starts: &'a [usize], runs: &'a Runs) -> Product<'a> {
        Product { tile: self.tile, weights: self.weights, terms: self.terms, left, starts, runs }
    }

    fn run_patch(
        &self,
        patch: &Patch,
        starts: &mut Vec<usize>,
        panels: Range<usize>,
        target: Target<'_>,
        stride: usize,
    ) {
        let image_len = self.window.input_len() * self.channels;
        if let Some((layout, runs)) = &self.in_place {
            layout.starts(patch, false, starts);
            let bytes = &self.bytes[patch.image * image_len..];
            let last = starts.last().copied().unwrap_or(0);
            // The last group of channels begins after the others.
            if last + runs.reach() + self.weights.last_skip() <= bytes.len() {
                let left = Left::Bytes { bytes, is_signed: self.is_signed };
                self.product(left, starts, runs).run(panels, target, stride);
                return;
            }
            starts.clear();
        }
        let (layout, runs) = &self.copied;
        layout.starts(patch, true, starts);
        let image = &self.bytes[patch.image * image_len..][..image_len];
        let flip = if self.is_signed { SIGN } else { 0 };
        if self.tile.reads_bytes() {
            with_scratch(&BYTES, layout.len() + SLACK, |copy| {
                let padding = self.zero as u8;
                layout.copy(&self.window, image, patch, padding, |byte| byte ^ flip, copy);
                let left = Left::Bytes { bytes: copy, is_signed: false };
                self.product(left, starts, runs).run(panels, target, stride);
            });
        } else {
            let zero = self.zero as i16;
            with_scratch(&NUMBERS, layout.len() + SLACK, |copy| {
                layout.copy(&self.window, image, patch, 0, |byte| i16::from(byte ^ flip) - zero, copy);
                self.product(Left::Centred(copy), starts, runs).run(panels, target, stride);
            });
        }
    }
}

fn n_positions(patches: &[Patch]) -> usize {
    patches.iter().map(Patch::len).sum()
}
