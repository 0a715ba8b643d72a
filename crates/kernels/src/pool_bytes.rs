//! Pooling in channels-last order, `[images, spatial…, channels]`: maxima of any type, and averages of quantized bytes.
//!
//! An average over a whole image is one with a window of its size.

mod reference;

pub use crate::epilogue::{Levels, Output};
pub use crate::gemm_integer::Bytes;
pub use crate::pool::{Divisor, Ordered, PoolShape};

use crate::epilogue::{ByteStore, SIGN, Target};
use crate::error::{Error, Result};
use crate::isa::Loops;
use crate::loops::{LoopKernel, best};
use crate::parallel;
use crate::window::{Spatial, Window};

/// Maximum pooling with the best kernel; see [`LoopKernel::max_pool_channels_last`].
///
/// # Errors
/// As [`LoopKernel::max_pool_channels_last`].
pub fn max_pool_channels_last<T: Ordered>(
    shape: &PoolShape,
    channels: usize,
    input: &[T],
    output: &mut [T],
) -> Result<()> {
    best().max_pool_channels_last(shape, channels, input, output)
}

/// Average pooling with the best kernel; see [`LoopKernel::average_pool_bytes`].
///
/// # Errors
/// As [`LoopKernel::average_pool_bytes`].
pub fn average_pool_bytes(
    shape: &PoolShape,
    channels: usize,
    divisor: Divisor,
    input: Bytes<'_>,
    scaling: Scaling,
    output: Output<'_>,
) -> Result<()> {
    best().average_pool_bytes(shape, channels, divisor, input, scaling, output)
}

/// The scales of an average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// The zero point of the input; padding has this value.
    pub input_zero: i32,
    /// The scale of the input divided by the one of the output.
    pub factor: f32,
}

impl LoopKernel {
    /// The largest element under the window, for each channel; [`LOWEST`](Ordered::LOWEST) if there is none.
    /// `shape.planes` is images times `channels`.
    ///
    /// # Errors
    /// If a list of the shape has another length than `input`, a size that must be positive is not, the channels do not
    /// divide the planes, or the length of a slice does not match the shape.
    pub fn max_pool_channels_last<T: Ordered>(
        &self,
        shape: &PoolShape,
        channels: usize,
        input: &[T],
        output: &mut [T],
    ) -> Result<()> {
        let window = checked(shape, channels, input.len(), output.len())?;
        if output.is_empty() {
            return Ok(());
        }
        let (cost, covered) = (window.taps(), Covered::new(&window));
        parallel::for_each_rows(cost, channels, output, |range, output| {
            let first = range.start / channels;
            match self.isa {
                Some(isa) => {
                    isa.run(Largest { window: &window, covered: &covered, channels, first, input, output })
                }
                None => reference::max_pool(&window, channels, first, input, output),
            }
        });
        Ok(())
    }

    /// `round_half_even(Σ (x - input_zero) as f32 * (factor / count))` plus the output's zero point, saturated, for each
    /// channel; floats are without rounding and zero point. A window that covers nothing has the sum 0.
    /// `shape.planes` is images times `channels`.
    ///
    /// # Errors
    /// As [`max_pool_channels_last`](Self::max_pool_channels_last); or if the zero point is outside the input's type, or
    /// the smallest level of the output exceeds the largest.
    pub fn average_pool_bytes(
        &self,
        shape: &PoolShape,
        channels: usize,
        divisor: Divisor,
        input: Bytes<'_>,
        scaling: Scaling,
        mut output: Output<'_>,
    ) -> Result<()> {
        let n_outputs = shape.planes.saturating_mul(shape.output.iter().product());
        output.check(n_outputs)?;
        let window = checked(shape, channels, input.len(), n_outputs)?;
        input.check_zero(scaling.input_zero)?;
        if n_outputs == 0 {
            return Ok(());
        }
        let factors: Vec<f32> =
            shape.counts(&window, divisor).into_iter().map(|count| scaling.factor / count).collect();
        let Some(isa) = self.isa else {
            reference::average_pool(&window, channels, &factors, input, scaling.input_zero, &mut output);
            return Ok(());
        };
        let (bytes, is_signed) = input.bits();
        let (flip, zero) = if is_signed { (SIGN, scaling.input_zero + 128) } else { (0, scaling.input_zero) };
        let (target, covered) = (output.into_target(), Covered::new(&window));
        let positions = n_outputs / channels;
        let pieces: Vec<_> = parallel::balanced(positions, POSITIONS).collect();
        let targets = target.split(pieces.iter().map(|piece| piece.len() * channels));
        let parts = pieces.into_iter().zip(targets).collect();
        parallel::for_each(n_outputs * window.taps(), parts, |(positions, target)| {
            let first = positions.start;
            isa.run(Average {
                window: &window,
                covered: &covered,
                channels,
                first,
                factors: &factors,
                bytes,
                flip,
                zero,
                target,
            });
        });
        Ok(())
    }
}

/// The positions of the output that are a piece of their own.
const POSITIONS: usize = 64;

/// The channels that are combined at a time, in registers.
const BLOCK: usize = 64;

fn checked(shape: &PoolShape, channels: usize, input_len: usize, output_len: usize) -> Result<Window> {
    if channels == 0 && shape.planes > 0 || channels > 0 && !shape.planes.is_multiple_of(channels) {
        return Err(Error::new(format!("{channels} channels do not divide {} planes", shape.planes)));
    }
    shape.window(input_len, output_len)
}

/// What the windows cover along each axis, for each output position: the first position of the input, and how many.
struct Covered([Vec<(usize, usize)>; 3]);

impl Covered {
    fn new(window: &Window) -> Covered {
        Covered(std::array::from_fn(|axis| {
            let covered = |output: usize| {
                let mut taps = (0..window.kernel[axis]).filter_map(|tap| window.source(axis, output, tap));
                let first = taps.next();
                (first.unwrap_or(0), usize::from(first.is_some()) + taps.count())
            };
            (0..window.output[axis]).map(covered).collect()
        }))
    }

    /// The starts of the pixels under the window at an output position.
    #[inline(always)]
    fn pixels(&self, window: &Window, channels: usize, at: Position, starts: &mut Vec<usize>) {
        starts.clear();
        let Position { image, at: [depth, row, column] } = at;
        let (depth, row, column) = (self.0[0][depth], self.0[1][row], self.0[2][column]);
        for d in 0..depth.1 {
            let slice = image * window.input[0] + depth.0 + d * window.dilations[0];
            for r in 0..row.1 {
                let row = slice * window.input[1] + row.0 + r * window.dilations[1];
                let first = (row * window.input[2] + column.0) * channels;
                starts.extend((0..column.1).map(|c| first + c * window.dilations[2] * channels));
            }
        }
    }
}

/// An output position.
#[derive(Clone, Copy)]
struct Position {
    image: usize,
    at: Spatial,
}

impl Position {
    /// The position with this index over all images.
    fn new(window: &Window, index: usize) -> Position {
        let [_, rows, columns] = window.output;
        let (image, index) = (index / window.output_len(), index % window.output_len());
        Position { image, at: [index / (rows * columns), index / columns % rows, index % columns] }
    }

    /// The next position; counting is faster than dividing the index.
    #[inline(always)]
    fn next(self, window: &Window) -> Position {
        let Position { image, at: [depth, row, column] } = self;
        let [depths, rows, columns] = window.output;
        if column + 1 < columns {
            Position { image, at: [depth, row, column + 1] }
        } else if row + 1 < rows {
            Position { image, at: [depth, row + 1, 0] }
        } else if depth + 1 < depths {
            Position { image, at: [depth + 1, 0, 0] }
        } else {
            Position { image: image + 1, at: [0; 3] }
        }
    }
}

struct Largest<'a, T> {
    window: &'a Window,
    covered: &'a Covered,
    channels: usize,
    first: usize,
    input: &'a [T],
    output: &'a mut [T],
}

impl<T: Ordered> Loops for Largest<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        let mut starts = Vec::new();
        let mut position = Position::new(self.window, self.first);
        for output in self.output.chunks_exact_mut(self.channels) {
            output.fill(T::LOWEST);
            self.covered.pixels(self.window, self.channels, position, &mut starts);
            position = position.next(self.window);
            for channel in blocks(self.channels) {
                let output = &mut output[channel..];
                let Some(output) = output.first_chunk_mut::<BLOCK>() else {
                    for start in &starts {
                        let pixel = &self.input[start + channel..];
                        output.iter_mut().zip(pixel).for_each(|(y, x)| *y = larger(*y, *x));
                    }
                    continue;
                };
                let pixel = |start: &usize| -> &[T; BLOCK] {
                    self.input[start + channel..].first_chunk().expect("a whole block")
                };
                let mut largest = [T::LOWEST; BLOCK];
                let (triples, rest) = starts.as_chunks::<3>();
                for [a, b, c] in triples {
                    let (a, b, c) = (pixel(a), pixel(b), pixel(c));
                    for (i, largest) in largest.iter_mut().enumerate() {
                        *largest = larger(larger(larger(*largest, a[i]), b[i]), c[i]);
                    }
                }
                for start in rest {
                    largest.iter_mut().zip(pixel(start)).for_each(|(y, x)| *y = larger(*y, *x));
                }
                *output = largest;
            }
        }
    }
}

/// The first channels of blocks that cover all channels; the last block overlaps the one before. With fewer channels
/// than a block, the only one is not whole.
#[inline(always)]
fn blocks(channels: usize) -> impl Iterator<Item = usize> {
    (0..channels.div_ceil(BLOCK)).map(move |i| (i * BLOCK).min(channels.saturating_sub(BLOCK)))
}

/// `largest`, unless the value is larger; a NaN is not.
#[inline(always)]
fn larger<T: PartialOrd>(largest: T, value: T) -> T {
    if value > largest { value } else { largest }
}

struct Average<'a> {
    window: &'a Window,
    covered: &'a Covered,
    channels: usize,
    first: usize,
    /// One for each position of an image.
    factors: &'a [f32],
    bytes: &'a [u8],
    flip: u8,
    zero: i32,
    target: Target<'a>,
}

impl Loops for Average<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self, _fused: bool) {
        let mut starts = Vec::new();
        let makes_bytes = matches!(self.target, Target::Bytes(..));
        let mut position = Position::new(self.window, self.first);
        let of_image = self.factors.iter().cycle().skip(self.first % self.factors.len());
        for (i, factor) in (0..self.target.len() / self.channels).zip(of_image) {
            self.covered.pixels(self.window, self.channels, position, &mut starts);
            position = position.next(self.window);
            let factor = *factor;
            let factors = [if makes_bytes { ByteStore::finite(factor) } else { factor }; BLOCK];
            let start = (starts.len() as i32).wrapping_mul(self.zero).wrapping_neg();
            for channel in blocks(self.channels) {
                let count = BLOCK.min(self.channels);
                let mut sums = [start; BLOCK];
                if count < BLOCK {
                    for pixel in &starts {
                        let pixel = &self.bytes[pixel + channel..][..count];
                        let terms = sums.iter_mut().zip(pixel);
                        terms.for_each(|(sum, byte)| *sum = sum.wrapping_add((byte ^ self.flip).into()));
                    }
                } else {
                    let pixel = |start: &usize| -> &[u8; BLOCK] {
                        self.bytes[start + channel..].first_chunk().expect("a whole block")
                    };
                    let (triples, rest) = starts.as_chunks::<3>();
                    for [a, b, c] in triples {
                        let (a, b, c) = (pixel(a), pixel(b), pixel(c));
                        for (i, sum) in sums.iter_mut().enumerate() {
                            let [a, b, c] = [a[i], b[i], c[i]].map(|byte| u16::from(byte ^ self.flip));
                            *sum = sum.wrapping_add((a + b + c).into());
                        }
                    }
                    for start in rest {
                        let terms = sums.iter_mut().zip(pixel(start));
                        terms.for_each(|(sum, byte)| *sum = sum.wrapping_add((byte ^ self.flip).into()));
                    }
                }
                self.target.write(i * self.channels + channel, &sums[..count], &factors);
            }
        }
    }
}
