//! Patches: the output positions of a convolution in boxes, and copies of what the windows of a box read.
//!
//! A copy contains the padding, so that a tap is at the same distance from the start of every window.

use std::ops::Range;

use crate::parallel::balanced;
use crate::window::{Spatial, Window};

/// Some output positions of one image: some columns of one row, or some whole rows, of one slice along the depth.
#[derive(Clone, Debug)]
pub(super) struct Patch {
    pub(super) image: usize,
    pub(super) depth: usize,
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl Patch {
    /// How many output positions the patch has.
    pub(super) fn len(&self) -> usize {
        self.rows.len() * self.columns.len()
    }
}

/// Cuts the output into patches of about `most` positions, in the order of the output.
pub(super) fn patches(batch: usize, window: &Window, most: usize) -> Vec<Patch> {
    let [depths, rows, columns] = window.output;
    let columns = balanced(columns, if columns > most + most / 2 { most } else { columns });
    let height = if columns.len() > 1 { 1 } else { (most / window.output[2]).max(1) };
    let rows = balanced(rows, height);
    let images = (0..batch).flat_map(|image| (0..depths).map(move |depth| (image, depth)));
    let patches = images.flat_map(|(image, depth)| {
        let columns = &columns;
        rows.clone().flat_map(move |rows| {
            let patch = move |columns| Patch { image, depth, rows: rows.clone(), columns };
            columns.clone().map(patch).collect::<Vec<_>>()
        })
    });
    patches.collect()
}

/// The distances in a tensor that contains the windows of some patches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Distances between neighbouring taps, in elements.
    taps: Spatial,
    /// Distances between neighbouring windows, in elements.
    windows: Spatial,
    /// Sizes of the tensor.
    sizes: Spatial,
    channels: usize,
}

impl Layout {
    /// The image itself.
    pub(super) fn in_place(window: &Window, channels: usize) -> Layout {
        let [_, height, width] = window.input;
        let distances = [height * width * channels, width * channels, channels];
        let scaled = |by: Spatial| std::array::from_fn(|axis| distances[axis] * by[axis]);
        Layout {
            taps: scaled(window.dilations),
            windows: scaled(window.strides),
            sizes: window.input,
            channels,
        }
    }

    /// A copy for patches of at most some rows and columns: slices, rows and columns with padding.
    ///
    /// Along the depth it has only what the taps read.
    pub(super) fn copied(window: &Window, channels: usize, patches: &[Patch]) -> Layout {
        let most = |len: fn(&Patch) -> usize| patches.iter().map(len).max().unwrap_or(0);
        let reach = |axis: usize, outputs: usize| {
            (outputs.max(1) - 1) * window.strides[axis]
                + (window.kernel[axis] - 1) * window.dilations[axis]
                + 1
        };
        let (rows, columns) =
            (reach(1, most(|patch| patch.rows.len())), reach(2, most(|patch| patch.columns.len())));
        let row = columns * channels;
        Layout {
            taps: [rows * row, window.dilations[1] * row, window.dilations[2] * channels],
            windows: [0, window.strides[1] * row, window.strides[2] * channels],
            sizes: [window.kernel[0], rows, columns],
            channels,
        }
    }

    /// The number of elements of the tensor.
    pub(super) fn len(&self) -> usize {
        self.sizes.iter().product::<usize>() * self.channels
    }

    /// The number of elements of a row.
    pub(super) fn row(&self) -> usize {
        self.sizes[2] * self.channels
    }

    /// Where the first window of a row is, in a copy.
    pub(super) fn window(&self, row: usize) -> usize {
        row * self.windows[1]
    }

    /// Where a tap is, relative to the start of a window.
    pub(super) fn tap(&self, tap: Spatial) -> usize {
        (0..3).map(|axis| tap[axis] * self.taps[axis]).sum()
    }

    /// Appends the start of each window of a patch; in a copy, the first one starts at 0.
    pub(super) fn starts(&self, patch: &Patch, is_copy: bool, starts: &mut Vec<usize>) {
        let first = |range: &Range<usize>| if is_copy { 0 } else { range.start };
        let slice = if is_copy { 0 } else { patch.depth * self.windows[0] };
        for row in 0..patch.rows.len() {
            let row = slice + (first(&patch.rows) + row) * self.windows[1];
            let columns = first(&patch.columns)..first(&patch.columns) + patch.columns.len();
            starts.extend(columns.map(|column| row + column * self.windows[2]));
        }
    }

    /// Copies what the windows of a patch read; `image` is one image.
    pub(super) fn copy<T: Copy>(
        &self,
        window: &Window,
        image: &[u8],
        patch: &Patch,
        padding: T,
        convert: impl Fn(u8) -> T + Copy,
        copy: &mut [T],
    ) {
        if self.channels == 0 {
            return;
        }
        let [_, height, width] = window.input;
        let [_, rows, columns] = self.sizes;
        let row_len = width * self.channels;
        let before =
            window.pads_begin[2].saturating_sub(patch.columns.start * window.strides[2]).min(columns);
        let first = (patch.columns.start * window.strides[2]).saturating_sub(window.pads_begin[2]);
        let inside = (columns - before).min(width.saturating_sub(first));
        let (before, inside) = (before * self.channels, inside * self.channels);
        for (i, target) in copy[..self.len()].chunks_exact_mut(columns * self.channels).enumerate() {
            let depth = window.source(0, patch.depth, i / rows);
            let padded = patch.rows.start * window.strides[1] + i % rows;
            let row = padded.checked_sub(window.pads_begin[1]).filter(|row| *row < height);
            let Some((depth, row)) = depth.zip(row) else {
                target.fill(padding);
                continue;
            };
            let source = &image[(depth * height + row) * row_len..][..row_len];
            let (left, rest) = target.split_at_mut(before);
            let (middle, right) = rest.split_at_mut(inside);
            left.fill(padding);
            let source = &source[first.min(width) * self.channels..];
            middle.iter_mut().zip(source).for_each(|(to, from)| *to = convert(*from));
            right.fill(padding);
        }
    }
}
