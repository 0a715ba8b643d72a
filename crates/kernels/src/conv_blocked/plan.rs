//! Where the windows of a blocked convolution lie in memory: in the input itself, if neighbouring outputs read
//! neighbouring positions of it, or in a copy of the part that a strip of the output reads.

use super::sheet::Sheet;
use crate::blocked::Layout;
use crate::conv::ConvShape;
use crate::error::Result;
use crate::gemm::Offsets;
use crate::sliding::{Strip, strips};
use crate::window::Window;

/// The preferred number of pixels of a strip: what a stretch of the depth reads and writes for them stays in the
/// first-level cache.
const STRIP_PIXELS: usize = 196;

/// The smallest number of rows of a strip whose surrounding rows are copied too.
const FEW_ROWS: usize = 4;

/// The largest number of elements of a copy; windows that reach further are left to the reference.
const MAX_COPY: usize = 1 << 24;

/// The offsets for one shape.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) window: Window,
    pub(super) strips: Vec<Strip>,
    /// Where each step of the depth begins: input channel, depth, height and width of the window.
    pub(super) steps: Offsets,
    /// The distance between the windows of two rows of the output.
    pub(super) row_step: usize,
    /// The distance between the windows of two neighbours in a row: 16 if the layout is blocked, else 1.
    pub(super) pixel: usize,
    /// The copy, unless the input is read in place.
    pub(super) sheet: Option<Sheet>,
    /// The elements of a group of an image.
    pub(super) group_len: usize,
    /// Whether there are windows that lie on padding alone.
    has_outside: bool,
}

impl Plan {
    /// The offsets, or none if the copy would be too large.
    pub(super) fn new(shape: &ConvShape, layout: Layout) -> Result<Option<Plan>> {
        let mut window = shape.window()?;
        window.check_reach()?;
        if window.is_pointwise() {
            let sizes = [1, 1, window.input_len()];
            window = Window { input: sizes, output: sizes, ..window };
        }
        let size = strip_size(&window);
        let reads_padding = (0..3).any(|axis| {
            let last = (window.output[axis] - 1) * window.strides[axis]
                + (window.kernel[axis] - 1) * window.dilations[axis];
            window.pads_begin[axis] > 0 || last >= window.input[axis]
        });
        let (channels, pixel) = (shape.group_in_channels(), layout.pixel());
        let planes = channels.div_ceil(pixel);
        let sheet =
            (reads_padding || window.strides[2] > 1).then(|| Sheet::new(&window, planes, pixel, size));
        if sheet.as_ref().is_some_and(|sheet| sheet.len() > MAX_COPY) {
            return Ok(None);
        }
        let [depth, height, width] = window.input;
        let (row, plane, channel) = sheet.as_ref().map_or_else(
            || (width * pixel, height * width * pixel, depth * height * width * pixel),
            |sheet| (sheet.row_len(), sheet.plane_len(), sheet.channel_len()),
        );
        let taps: Vec<usize> = window
            .tap_positions()
            .map(|[d, h, w]| {
                let column = match &sheet {
                    Some(sheet) => sheet.column(w),
                    None => w * window.dilations[2] * pixel,
                };
                d * window.dilations[0] * plane + h * window.dilations[1] * row + column
            })
            .collect();
        let steps = (0..channels).flat_map(|c| {
            let start = c / pixel * channel + c % pixel;
            taps.iter().map(move |tap| start + tap)
        });
        Ok(Some(Plan {
            steps: Offsets::new(steps.collect()),
            strips: strips(&window, size).collect(),
            row_step: window.strides[1] * row,
            pixel,
            sheet,
            has_outside: [0, 1].iter().any(|&axis| {
                let ends = [0, window.output[axis] - 1];
                ends.iter().any(|&output| is_outside(&window, axis, output))
            }),
            group_len: planes * window.input_len() * pixel,
            window,
        }))
    }

    /// Whether the windows of a row of a strip lie on padding alone.
    pub(super) fn is_outside(&self, strip: &Strip, row: usize) -> bool {
        self.has_outside
            && (is_outside(&self.window, 0, strip.depth)
                || is_outside(&self.window, 1, strip.rows.start + row))
    }

    /// The part of the input, a group of an image, from the first window of a strip on; only without a copy.
    pub(super) fn in_place<'a>(&self, strip: &Strip, input: &'a [f32]) -> &'a [f32] {
        let [_, height, width] = self.window.input;
        let row = strip.depth * self.window.strides[0] * height + strip.rows.start * self.window.strides[1];
        &input[(row * width + strip.columns.start) * self.pixel..]
    }
}

/// Whether the windows of an output along an axis lie on padding alone.
fn is_outside(window: &Window, axis: usize, output: usize) -> bool {
    window.taps_inside(axis, output).is_empty()
}

/// The preferred largest numbers of rows and columns of a strip.
fn strip_size(window: &Window) -> [usize; 2] {
    let [_, height, width] = window.output;
    if height == 1 {
        return [1, width.min(STRIP_PIXELS)];
    }
    let few = if window.kernel[1] > 1 { FEW_ROWS } else { 1 };
    [(STRIP_PIXELS / width).max(few).min(height), width]
}
