//! Pooling of channel-blocked tensors: the maxima and averages of [`pool`](crate::pool), for 16 channels at a time, and
//! the averages of whole planes.
//!
//! The planes of a shape are the images times the blocks of channels.

use crate::blocked::BLOCK;
use crate::error::{Result, expect_len};
use crate::isa::Loops;
use crate::loops::{LoopKernel, best};
use crate::parallel;
use crate::pool::{Divisor, PoolShape};
use crate::window::Window;

type Channels = [f32; BLOCK];

/// Maximum pooling with the best kernel; see [`LoopKernel::max_pool_blocked`].
///
/// # Errors
/// As [`LoopKernel::max_pool_blocked`].
pub fn max_pool_blocked(shape: &PoolShape, input: &[f32], output: &mut [f32]) -> Result<()> {
    best().max_pool_blocked(shape, input, output)
}

/// Average pooling with the best kernel; see [`LoopKernel::average_pool_blocked`].
///
/// # Errors
/// As [`LoopKernel::max_pool_blocked`].
pub fn average_pool_blocked(
    shape: &PoolShape,
    divisor: Divisor,
    input: &[f32],
    output: &mut [f32],
) -> Result<()> {
    best().average_pool_blocked(shape, divisor, input, output)
}

/// The averages of whole planes with the best kernel; see [`LoopKernel::global_average_blocked`].
///
/// # Errors
/// As [`LoopKernel::global_average_blocked`].
pub fn global_average_blocked(planes: usize, input: &[f32], output: &mut [f32]) -> Result<()> {
    best().global_average_blocked(planes, input, output)
}

impl LoopKernel {
    /// The largest element of each channel under the window, ignoring NaN; `-inf` if there is none.
    ///
    /// # Errors
    /// If a list has another length than `input`, a size that must be positive is not, or the length of a slice is not
    /// 16 times what the shape requires.
    pub fn max_pool_blocked(&self, shape: &PoolShape, input: &[f32], output: &mut [f32]) -> Result<()> {
        self.pool_rows(shape, Largest, input, output)?;
        Ok(())
    }

    /// The sum of the elements of each channel under the window, in order, divided by their number; 0 if there are
    /// none.
    ///
    /// # Errors
    /// As [`max_pool_blocked`](Self::max_pool_blocked).
    pub fn average_pool_blocked(
        &self,
        shape: &PoolShape,
        divisor: Divisor,
        input: &[f32],
        output: &mut [f32],
    ) -> Result<()> {
        let window = self.pool_rows(shape, Sum, input, output)?;
        let counts = shape.counts(&window, divisor);
        for plane in output.as_chunks_mut::<BLOCK>().0.chunks_exact_mut(window.output_len().max(1)) {
            for (sums, count) in plane.iter_mut().zip(&counts) {
                sums.iter_mut().for_each(|sum| *sum /= count);
            }
        }
        Ok(())
    }

    /// The average of each channel over all positions, summed in f64 and rounded once; `output` is `[planes, 16]`.
    ///
    /// # Errors
    /// If the length of the input is not a multiple of that of the output, or that of the output not `16 * planes`.
    pub fn global_average_blocked(&self, planes: usize, input: &[f32], output: &mut [f32]) -> Result<()> {
        expect_len("the output", output.len(), planes.saturating_mul(BLOCK))?;
        let plane_len = input.len() / planes.max(1) / BLOCK * BLOCK;
        expect_len("the input", input.len(), planes * plane_len)?;
        let inputs = input.as_chunks::<BLOCK>().0.chunks_exact((plane_len / BLOCK).max(1));
        let tasks: Vec<_> = inputs.zip(output.as_chunks_mut::<BLOCK>().0).collect();
        parallel::for_each(input.len(), tasks, |(input, output)| {
            let loops = Average { input, output };
            match self.isa {
                Some(isa) => isa.run(loops),
                None => loops.run(false),
            }
        });
        Ok(())
    }

    /// Combines the elements under each window.
    fn pool_rows<C: Combine>(
        &self,
        shape: &PoolShape,
        how: C,
        input: &[f32],
        output: &mut [f32],
    ) -> Result<Window> {
        let (n_in, n_out) = (input.len() / BLOCK, output.len() / BLOCK);
        expect_len("the input", input.len(), n_in * BLOCK)?;
        expect_len("the output", output.len(), n_out * BLOCK)?;
        let window = shape.window(n_in, n_out)?;
        if output.is_empty() {
            return Ok(window);
        }
        let (input, columns) = (input.as_chunks::<BLOCK>().0, window.output[2]);
        let planes = output.as_chunks_mut::<BLOCK>().0.chunks_exact_mut(window.output_len()).enumerate();
        let pieces = planes.flat_map(|(plane, rows)| {
            let pieces = rows.chunks_mut(PIECE_ROWS * columns).enumerate();
            pieces.map(move |(piece, rows)| (plane, piece * PIECE_ROWS, rows))
        });
        let operations = n_out * BLOCK * window.taps() * parallel::TAP_COST;
        parallel::for_each(operations, pieces.collect(), |(plane, first_row, output)| {
            let input = &input[plane * window.input_len()..][..window.input_len()];
            let rows = PoolRows { how, window: &window, first_row, input, output };
            match self.isa {
                Some(isa) => isa.run(rows),
                None => rows.one_by_one(),
            }
        });
        Ok(window)
    }
}

/// The rows of a piece of a plane.
const PIECE_ROWS: usize = 16;

/// How two elements are combined; implementations mark `combine` as `#[inline(always)]`.
trait Combine: Copy + Send + Sync {
    const START: f32;

    fn combine(self, total: f32, value: f32) -> f32;
}

#[derive(Clone, Copy)]
struct Largest;

impl Combine for Largest {
    const START: f32 = f32::NEG_INFINITY;

    #[inline(always)]
    fn combine(self, total: f32, value: f32) -> f32 {
        if value > total { value } else { total }
    }
}

#[derive(Clone, Copy)]
struct Sum;

impl Combine for Sum {
    const START: f32 = 0.0;

    #[inline(always)]
    fn combine(self, total: f32, value: f32) -> f32 {
        total + value
    }
}

/// Some rows of a plane of the output; rows are counted over all depths.
struct PoolRows<'a, C> {
    how: C,
    window: &'a Window,
    first_row: usize,
    input: &'a [Channels],
    output: &'a mut [Channels],
}

impl<C: Combine> PoolRows<'_, C> {
    /// The reference.
    fn one_by_one(self) {
        let [_, height, width] = self.window.output;
        for (i, output) in self.output.iter_mut().enumerate() {
            let row = self.first_row + i / width;
            *output = [C::START; BLOCK];
            for tap in self.window.tap_positions() {
                let at = [row / height, row % height, i % width];
                let Some(index) = self.window.input_index(at, tap) else { continue };
                for (total, value) in output.iter_mut().zip(self.input[index]) {
                    *total = self.how.combine(*total, value);
                }
            }
        }
    }
}

impl<C: Combine> Loops for PoolRows<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        match (self.window.kernel[2], self.window.dilations[2]) {
            (2, 1) => self.run_taps::<2>(),
            (3, 1) => self.run_taps::<3>(),
            _ => self.run_taps::<0>(),
        }
    }
}

impl<C: Combine> PoolRows<'_, C> {
    /// `TAPS` is the width of a window without dilation, or 0.
    #[inline(always)]
    fn run_taps<const TAPS: usize>(self) {
        let PoolRows { how, window, first_row, input, output } = self;
        let ([_, height, width], [_, rows, columns]) = (window.input, window.output);
        // For each column the position of the first tap that does not lie on padding, and their number.
        let column_taps: Vec<(usize, usize)> = (0..columns)
            .map(|column| match window.taps_inside(2, column) {
                taps if taps.is_empty() => (0, 0),
                taps => (window.position(2, column, taps.start), taps.len()),
            })
            .collect();
        let mut lines: Vec<&[Channels]> = Vec::with_capacity(window.kernel[0] * window.kernel[1]);
        for (i, output) in output.chunks_exact_mut(columns).enumerate() {
            let (depth, row) = ((first_row + i) / rows, (first_row + i) % rows);
            lines.clear();
            for d in window.taps_inside(0, depth) {
                let plane = window.position(0, depth, d) * height;
                let line = |h| &input[(plane + window.position(1, row, h)) * width..][..width];
                lines.extend(window.taps_inside(1, row).map(line));
            }
            for ((first, n_taps), output) in column_taps.iter().zip(output) {
                let mut totals = [C::START; BLOCK];
                for line in &lines {
                    if *n_taps == TAPS && TAPS > 0 {
                        let values: &[Channels; TAPS] = line[*first..].first_chunk().expect("taps inside");
                        for values in values {
                            add(how, &mut totals, values);
                        }
                    } else {
                        for tap in 0..*n_taps {
                            add(how, &mut totals, &line[first + tap * window.dilations[2]]);
                        }
                    }
                }
                *output = totals;
            }
        }
    }
}

#[inline(always)]
fn add<C: Combine>(how: C, totals: &mut Channels, values: &Channels) {
    for lane in 0..BLOCK {
        totals[lane] = how.combine(totals[lane], values[lane]);
    }
}

/// The number of partial sums of an average.
const PARTS: usize = 4;

/// The average of a plane, in partial sums by position.
struct Average<'a> {
    input: &'a [Channels],
    output: &'a mut Channels,
}

impl Loops for Average<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        let mut sums = [[0.0; BLOCK]; PARTS];
        let (fours, rest) = self.input.as_chunks::<PARTS>();
        for values in fours {
            for (sum, value) in sums.as_flattened_mut().iter_mut().zip(values.as_flattened()) {
                *sum += f64::from(*value);
            }
        }
        for (sum, value) in sums.as_flattened_mut().iter_mut().zip(rest.as_flattened()) {
            *sum += f64::from(*value);
        }
        let len = self.input.len() as f64;
        for (lane, average) in self.output.iter_mut().enumerate() {
            let sum = (sums[0][lane] + sums[1][lane]) + (sums[2][lane] + sums[3][lane]);
            *average = (sum / len) as f32;
        }
    }
}
