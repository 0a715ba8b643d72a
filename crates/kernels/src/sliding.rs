//! Windows as shifts: input planes are copied into sheets, in which every tap of a window reads one contiguous run for
//! all output positions of a strip of rows.
//!
//! Strides become phases (for a stride of 2, every second column is adjacent), padding is written into the sheet, and
//! the rows of the strip have a fixed pitch, with a few unused columns between them.
//!
//! A dense convolution is then a matrix product whose right factor is the sheet, read at offsets, and a depthwise
//! convolution or a pool is a sum over shifts.

mod combine;

use std::ops::Range;

pub(crate) use combine::{Combine, Plane, slide};

use crate::parallel::balanced;
use crate::window::Window;

/// The number of elements that a kernel may read past the last column; each sheet has this many unused elements at its
/// end.
pub(crate) const SLACK: usize = 64;

/// The layout of the sheet of one channel, for strips of at most some rows and columns.
#[derive(Debug)]
pub(crate) struct Sheet {
    window: Window,
    /// The distinct remainders of the taps by the stride, along height and width.
    phases: [Vec<usize>; 2],
    /// Rows of each phase.
    rows: usize,
    /// Distance between output rows.
    pub(crate) pitch: usize,
    /// For each tap, in order, the position in the sheet for the first output.
    pub(crate) taps: Vec<usize>,
}

impl Sheet {
    pub(crate) fn new(window: Window, [strip_rows, strip_columns]: [usize; 2]) -> Sheet {
        let reach = |axis: usize| (window.kernel[axis] - 1) * window.dilations[axis] / window.strides[axis];
        let phase = |axis: usize, tap: usize| tap * window.dilations[axis] % window.strides[axis];
        let phases = [1, 2].map(|axis| {
            let mut phases: Vec<usize> = (0..window.kernel[axis]).map(|tap| phase(axis, tap)).collect();
            phases.sort_unstable();
            phases.dedup();
            phases
        });
        let (rows, pitch) = (strip_rows + reach(1), strip_columns + reach(2));
        let position = |axis: usize, tap: usize| {
            let index = phases[axis - 1].binary_search(&phase(axis, tap)).expect("listed above");
            (index, tap * window.dilations[axis] / window.strides[axis])
        };
        let taps = window.tap_positions().map(|[d, h, w]| {
            let ((phase_h, shift_h), (phase_w, shift_w)) = (position(1, h), position(2, w));
            (((d * phases[0].len() + phase_h) * phases[1].len() + phase_w) * rows + shift_h) * pitch + shift_w
        });
        Sheet { window, taps: taps.collect(), phases, rows, pitch }
    }

    /// The number of elements of the sheet of one channel.
    pub(crate) fn len(&self) -> usize {
        self.window.kernel[0] * self.phases[0].len() * self.phases[1].len() * self.rows * self.pitch
    }

    /// The number of columns of the sheet from the first output of a strip to its last.
    pub(crate) fn columns(&self, strip: &Strip) -> usize {
        (strip.rows.len() - 1) * self.pitch + strip.columns.len()
    }

    /// Copies the part of a channel that a strip reads, surrounded by `padding`.
    #[inline(always)]
    pub(crate) fn fill<T: Copy>(&self, strip: &Strip, channel: &[T], padding: T, sheet: &mut [T]) {
        let window = &self.window;
        let [_, height, width] = window.input;
        let phase_len = self.rows * self.pitch;
        let mut start = 0;
        for tap in 0..window.kernel[0] {
            let plane = window.source(0, strip.depth, tap).map(|depth| &channel[depth * height * width..]);
            for phase_h in &self.phases[0] {
                let rows = self.run(1, strip.rows.start * window.strides[1] + phase_h, self.rows);
                for phase_w in &self.phases[1] {
                    let columns = self.run(2, strip.columns.start * window.strides[2] + phase_w, self.pitch);
                    let target = &mut sheet[start..];
                    match plane {
                        Some(plane) if rows.len > 0 => {
                            let source = &plane[rows.source * width + columns.source..];
                            let row_stride = window.strides[1] * width;
                            let first = rows.before * self.pitch + columns.before;
                            fill_run(padding, first, target);
                            let copy = CopyRows {
                                rows: rows.len,
                                columns: columns.len,
                                row_stride,
                                pitch: self.pitch,
                            };
                            match window.strides[2] {
                                1 => copy.run::<1, T>(source, padding, &mut target[first..]),
                                2 => copy.run::<2, T>(source, padding, &mut target[first..]),
                                stride => copy.run_strided(stride, source, padding, &mut target[first..]),
                            }
                            let end = first + (rows.len - 1) * self.pitch + columns.len;
                            fill_run(padding, phase_len - end, &mut target[end..]);
                        }
                        _ => fill_run(padding, phase_len, target),
                    }
                    start += phase_len;
                }
            }
        }
    }

    /// The part of `sheet_len` positions along an axis that is input; `first` counts from the start of the padding.
    fn run(&self, axis: usize, first: usize, sheet_len: usize) -> Run {
        let (stride, pad, len) =
            (self.window.strides[axis], self.window.pads_begin[axis], self.window.input[axis]);
        let before = pad.saturating_sub(first).div_ceil(stride).min(sheet_len);
        let source = (first + before * stride).saturating_sub(pad).min(len);
        Run { before, source, len: (len - source).div_ceil(stride).min(sheet_len - before) }
    }
}

/// A number of padded positions, followed by a number of positions of the input from a start on.
struct Run {
    before: usize,
    source: usize,
    len: usize,
}

/// Rows are written in whole chunks; the end of the last one overwrites elements that are written later.
const CHUNK: usize = 16;

#[inline(always)]
fn fill_run<T: Copy>(value: T, len: usize, target: &mut [T]) {
    for chunk in target[..len.next_multiple_of(CHUNK)].as_chunks_mut::<CHUNK>().0 {
        *chunk = [value; CHUNK];
    }
}

/// Rows of some columns, `row_stride` apart in the source and `pitch` in the target, with padding between
/// them.
struct CopyRows {
    rows: usize,
    columns: usize,
    row_stride: usize,
    pitch: usize,
}

impl CopyRows {
    /// Copies every `STRIDE`-th element.
    #[inline(always)]
    fn run<const STRIDE: usize, T: Copy>(&self, source: &[T], padding: T, target: &mut [T]) {
        let len = self.columns.next_multiple_of(CHUNK);
        for row in 0..self.rows {
            let target = &mut target[row * self.pitch..];
            let Some(source) = source[row * self.row_stride..].get(..len * STRIDE) else {
                // Whole chunks would exceed the end of the source.
                let rest = CopyRows { rows: self.rows - row, ..*self };
                return rest.run_strided(STRIDE, &source[row * self.row_stride..], padding, target);
            };
            let chunks = target[..len].as_chunks_mut::<CHUNK>().0;
            for (chunk, source) in chunks.iter_mut().zip(source.chunks_exact(CHUNK * STRIDE)) {
                let mut taken = [padding; CHUNK];
                for i in 0..CHUNK {
                    taken[i] = source[i * STRIDE];
                }
                *chunk = taken;
            }
            if row + 1 < self.rows {
                fill_run(padding, self.pitch - self.columns, &mut target[self.columns..]);
            }
        }
    }

    /// Copies every `stride`-th element, one at a time.
    #[inline(always)]
    fn run_strided<T: Copy>(&self, stride: usize, source: &[T], padding: T, target: &mut [T]) {
        for row in 0..self.rows {
            let (source, target) = (&source[row * self.row_stride..], &mut target[row * self.pitch..]);
            for i in 0..self.columns {
                target[i] = source[i * stride];
            }
            if row + 1 < self.rows {
                fill_run(padding, self.pitch - self.columns, &mut target[self.columns..]);
            }
        }
    }
}

/// A piece of the output that is contiguous in memory: some rows at one depth, or some columns of one row.
#[derive(Clone, Debug)]
pub(crate) struct Strip {
    pub(crate) depth: usize,
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
}

impl Strip {
    /// The number of outputs.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() * self.columns.len()
    }
}

/// The preferred largest numbers of rows and columns of strips that have about `columns` columns of the sheet.
///
/// Signals are cut along their only axis, images into several rows, since the rows around a strip are copied too.
pub(crate) fn strip_size(window: &Window, columns: usize) -> [usize; 2] {
    const FEW_ROWS: usize = 4;
    let [_, height, width] = window.output;
    if height == 1 {
        return [1, width.min(columns)];
    }
    let pitch = Sheet::new(*window, [1, width]).pitch;
    // If most of the sheet were unused, single rows are better.
    let rows = if pitch >= 2 * width { 1 } else { (columns / pitch).max(FEW_ROWS) };
    [rows.min(height), width]
}

/// All strips of an output, in the order of memory.
pub(crate) fn strips(window: &Window, [rows, columns]: [usize; 2]) -> impl Iterator<Item = Strip> {
    let [depths, height, width] = window.output;
    (0..depths).flat_map(move |depth| {
        balanced(height, rows).flat_map(move |rows| {
            balanced(width, columns).map(move |columns| Strip { depth, rows: rows.clone(), columns })
        })
    })
}

/// Copies the rows of a strip from their pitch to adjacent rows; unused elements may follow.
#[inline(always)]
pub(crate) fn gather_rows<T: Copy>(flat: &[T], pitch: usize, width: usize, output: &mut [T]) {
    let len = width.next_multiple_of(CHUNK);
    for row in 0..output.len() / width {
        let (source, target) = (&flat[row * pitch..], &mut output[row * width..]);
        if let (Some(source), Some(target)) = (source.get(..len), target.get_mut(..len)) {
            for (to, from) in target.as_chunks_mut::<CHUNK>().0.iter_mut().zip(source.as_chunks::<CHUNK>().0)
            {
                *to = *from;
            }
        } else {
            target[..width].copy_from_slice(&source[..width]);
        }
    }
}
