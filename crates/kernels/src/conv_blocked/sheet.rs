//! A copy of the part of an input that a strip of the output reads, with its padding.
//! Columns with the same remainder by the stride are adjacent, so that neighbouring outputs read neighbouring columns.

use crate::blocked::BLOCK;
use crate::sliding::Strip;
use crate::window::Window;

/// The layout of the copy: `[planes, depth, rows, phases, columns, pixel]`.
#[derive(Debug)]
pub(super) struct Sheet {
    window: Window,
    /// Channels, or blocks of channels.
    planes: usize,
    /// The elements of a position.
    pixel: usize,
    depth: usize,
    rows: usize,
    /// The distinct remainders of the taps of the width by the stride.
    phases: Vec<usize>,
    /// The columns of a phase.
    columns: usize,
}

impl Sheet {
    /// The layout for strips of at most some rows and columns.
    pub(super) fn new(window: &Window, planes: usize, pixel: usize, [rows, columns]: [usize; 2]) -> Sheet {
        let reach = |axis: usize| (window.kernel[axis] - 1) * window.dilations[axis];
        let mut phases: Vec<usize> =
            (0..window.kernel[2]).map(|tap| tap * window.dilations[2] % window.strides[2]).collect();
        phases.sort_unstable();
        phases.dedup();
        Sheet {
            planes,
            pixel,
            depth: reach(0) + 1,
            rows: (rows - 1) * window.strides[1] + reach(1) + 1,
            phases,
            columns: columns + reach(2) / window.strides[2],
            window: *window,
        }
    }

    /// The number of elements; it saturates.
    pub(super) fn len(&self) -> usize {
        [self.depth, self.rows, self.phases.len(), self.columns, self.pixel]
            .iter()
            .fold(self.planes, |len, size| len.saturating_mul(*size))
    }

    /// The distance between rows.
    pub(super) fn row_len(&self) -> usize {
        self.phases.len() * self.columns * self.pixel
    }

    /// The distance between depths.
    pub(super) fn plane_len(&self) -> usize {
        self.rows * self.row_len()
    }

    /// The distance between channels, or blocks of channels.
    pub(super) fn channel_len(&self) -> usize {
        self.depth * self.plane_len()
    }

    /// Where a tap of the width reads in a row, for the first output.
    pub(super) fn column(&self, tap: usize) -> usize {
        let (shift, stride) = (tap * self.window.dilations[2], self.window.strides[2]);
        let phase = self.phases.binary_search(&(shift % stride)).expect("the phases of all taps are listed");
        (phase * self.columns + shift / stride) * self.pixel
    }

    /// Copies what a strip reads of the input, a group of an image, and writes zeros around it.
    pub(super) fn fill(&self, strip: &Strip, input: &[f32], copy: &mut [f32]) {
        let Window { input: [_, height, width], strides, pads_begin, .. } = self.window;
        let first =
            [strip.depth * strides[0], strip.rows.start * strides[1], strip.columns.start * strides[2]];
        let source = |axis: usize, at: usize| {
            (first[axis] + at).checked_sub(pads_begin[axis]).filter(|at| *at < self.window.input[axis])
        };
        // For each phase: columns of padding, then the first column of the input and their number.
        let runs: Vec<(usize, usize, usize)> = self
            .phases
            .iter()
            .map(|phase| {
                let start = first[2] + phase;
                let before = pads_begin[2].saturating_sub(start).div_ceil(strides[2]).min(self.columns);
                let from = (start + before * strides[2]).saturating_sub(pads_begin[2]).min(width);
                (before, from, (width - from).div_ceil(strides[2]).min(self.columns - before))
            })
            .collect();
        let mut targets = copy.chunks_exact_mut(self.columns * self.pixel);
        let plane_len = self.window.input_len() * self.pixel;
        for plane in 0..self.planes {
            let plane = &input[plane * plane_len..][..plane_len];
            for depth in 0..self.depth {
                for row in 0..self.rows {
                    let line = source(0, depth).zip(source(1, row)).map(|(depth, row)| {
                        &plane[(depth * height + row) * width * self.pixel..][..width * self.pixel]
                    });
                    for (before, from, len) in &runs {
                        let target = targets.next().expect("the copy has all rows");
                        let Some(line) = line else {
                            target.fill(0.0);
                            continue;
                        };
                        let (left, rest) = target.split_at_mut(before * self.pixel);
                        let (inner, right) = rest.split_at_mut(len * self.pixel);
                        left.fill(0.0);
                        self.copy_columns(&line[from * self.pixel..], inner);
                        right.fill(0.0);
                    }
                }
            }
        }
    }

    /// Copies every column at a distance of the stride.
    fn copy_columns(&self, line: &[f32], target: &mut [f32]) {
        match (self.window.strides[2], self.pixel) {
            (1, _) => target.copy_from_slice(&line[..target.len()]),
            (2, 1) if line.len() >= 2 * target.len() => {
                target.iter_mut().zip(line.as_chunks::<2>().0).for_each(|(to, from)| *to = from[0]);
            }
            (stride, 1) => {
                target.iter_mut().zip(line.iter().step_by(stride)).for_each(|(to, from)| *to = *from)
            }
            (stride, _) => {
                let columns = line.as_chunks::<BLOCK>().0.iter().step_by(stride);
                target.as_chunks_mut::<BLOCK>().0.iter_mut().zip(columns).for_each(|(to, from)| *to = *from);
            }
        }
    }
}
