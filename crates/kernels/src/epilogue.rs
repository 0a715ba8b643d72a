//! The last step of a product of bytes: bias, scaling, and the conversion to the type of the result.
//!
//! Bytes are `clamp(saturate(round_half_even((sum + bias) as f32 * factor) + zero_point), min, max)`, with a wrapping
//! sum, as [`requantize`](crate::quantize::requantize) computes them; floats are `(sum + bias) as f32 * factor`.
//! Every kernel computes the same bits.

use std::ops::Range;

use crate::error::{Error, Result, expect_len};
use crate::quantize::{Quantized, ROUNDER, limited};

/// The bias and the factor of each output channel.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// One for each output channel; none are zeros.
    pub bias: Option<&'a [i32]>,
    /// One for all output channels, or one for each.
    pub factors: &'a [f32],
}

/// The integers that a quantized result uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels<T> {
    /// The integer that represents 0.0.
    pub zero_point: T,
    /// The smallest integer, at most `max`; above the minimum of the type after a fused Relu or Clip.
    pub min: T,
    /// The largest integer.
    pub max: T,
}

/// Where results are written, and how they are converted.
#[derive(Debug)]
pub enum Output<'a> {
    /// Unsigned bytes.
    U8(&'a mut [u8], Levels<u8>),
    /// Signed bytes.
    I8(&'a mut [i8], Levels<i8>),
    /// Floats.
    F32(&'a mut [f32]),
}

impl<T: Quantized> Levels<T> {
    /// All integers of the type.
    pub fn all(zero_point: T) -> Levels<T> {
        Levels { zero_point, min: T::from_i32(T::MIN), max: T::from_i32(T::MAX) }
    }

    /// The integer for a scaled sum, by the formula.
    fn of(self, scaled: f32) -> T {
        // The cast saturates and converts NaN to 0.
        let steps = (scaled.round_ties_even() as i64).saturating_add(self.zero_point.to_i32().into());
        T::from_i32(steps.clamp(self.min.to_i32().into(), self.max.to_i32().into()) as i32)
    }
}

impl Epilogue<'_> {
    pub(crate) fn check(&self, channels: usize) -> Result<()> {
        if let Some(bias) = self.bias {
            expect_len("the bias", bias.len(), channels)?;
        }
        if self.factors.len() == 1 {
            return Ok(());
        }
        expect_len("the list of factors", self.factors.len(), channels)
    }

    pub(crate) fn bias(&self, channel: usize) -> i32 {
        self.bias.map_or(0, |bias| bias[channel])
    }

    pub(crate) fn factor(&self, channel: usize) -> f32 {
        self.factors[if self.factors.len() == 1 { 0 } else { channel }]
    }
}

impl<'a> Output<'a> {
    /// Checks the number of results and the levels.
    pub(crate) fn check(&self, expected: usize) -> Result<()> {
        let (len, is_ordered) = match self {
            Output::U8(values, levels) => (values.len(), levels.min <= levels.max),
            Output::I8(values, levels) => (values.len(), levels.min <= levels.max),
            Output::F32(values) => (values.len(), true),
        };
        if !is_ordered {
            return Err(Error::new("the smallest integer of the output is greater than the largest"));
        }
        expect_len("the output", len, expected)
    }

    /// The number of results.
    pub(crate) fn len(&self) -> usize {
        match self {
            Output::U8(values, _) => values.len(),
            Output::I8(values, _) => values.len(),
            Output::F32(values) => values.len(),
        }
    }

    /// Writes one result by the formula: the reference.
    pub(crate) fn set(&mut self, i: usize, sum: i32, factor: f32) {
        let scaled = sum as f32 * factor;
        match self {
            Output::U8(values, levels) => values[i] = levels.of(scaled),
            Output::I8(values, levels) => values[i] = levels.of(scaled),
            Output::F32(values) => values[i] = scaled,
        }
    }

    /// The form that the kernels write.
    pub(crate) fn into_target(self) -> Target<'a> {
        match self {
            Output::U8(values, Levels { zero_point, min, max }) => {
                Target::Bytes(values, ByteStore { zero: zero_point, min, max, flip: 0 })
            }
            Output::I8(values, Levels { zero_point, min, max }) => {
                let [zero, min, max] = [zero_point, min, max].map(|level| level as u8 ^ SIGN);
                Target::Bytes(bytemuck::cast_slice_mut(values), ByteStore { zero, min, max, flip: SIGN })
            }
            Output::F32(values) => Target::Floats(values),
        }
    }
}

/// Added to a signed byte, it gives the unsigned byte of the same rank.
pub(crate) const SIGN: u8 = 0x80;

/// A conversion to bytes: levels as unsigned bytes, and the bits that are inverted to store signed bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteStore {
    pub(crate) zero: u8,
    pub(crate) min: u8,
    pub(crate) max: u8,
    pub(crate) flip: u8,
}

/// Results that are not yet written.
#[derive(Debug)]
pub(crate) enum Target<'a> {
    Bytes(&'a mut [u8], ByteStore),
    Floats(&'a mut [f32]),
}

/// Results in memory of their own.
#[derive(Debug)]
pub(crate) enum Results {
    Bytes(Vec<u8>, ByteStore),
    Floats(Vec<f32>),
}

impl Results {
    pub(crate) fn target(&mut self) -> Target<'_> {
        match self {
            Results::Bytes(bytes, store) => Target::Bytes(bytes, *store),
            Results::Floats(floats) => Target::Floats(floats),
        }
    }
}

impl ByteStore {
    /// The byte of a scaled sum.
    #[inline(always)]
    pub(crate) fn byte(self, scaled: f32) -> u8 {
        let zero = i32::from(self.zero);
        let steps = limited(scaled, (i32::from(self.min) - zero) as f32, (i32::from(self.max) - zero) as f32);
        (steps.to_bits().wrapping_sub(ROUNDER.to_bits()) as u8).wrapping_add(self.zero) ^ self.flip
    }

    /// A factor with the same results that never makes NaN: NaN becomes 0, and an infinity the largest number.
    pub(crate) fn finite(factor: f32) -> f32 {
        if factor.is_nan() { 0.0 } else { factor.clamp(f32::MIN, f32::MAX) }
    }
}

impl Target<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Target::Bytes(bytes, _) => bytes.len(),
            Target::Floats(floats) => floats.len(),
        }
    }

    /// The results from `first` on.
    #[inline]
    pub(crate) fn from(&mut self, first: usize) -> Target<'_> {
        match self {
            Target::Bytes(bytes, store) => Target::Bytes(&mut bytes[first..], *store),
            Target::Floats(floats) => Target::Floats(&mut floats[first..]),
        }
    }

    /// Memory for as many results of the same kind, which are already converted.
    pub(crate) fn same_kind(&self) -> Results {
        match self {
            Target::Bytes(bytes, store) => Results::Bytes(vec![0; bytes.len()], *store),
            Target::Floats(floats) => Results::Floats(vec![0.0; floats.len()]),
        }
    }

    /// Copies finished results to `first`.
    pub(crate) fn copy_from(&mut self, first: usize, results: &Results, range: Range<usize>) {
        match (self, results) {
            (Target::Bytes(to, _), Results::Bytes(from, _)) => {
                to[first..first + range.len()].copy_from_slice(&from[range]);
            }
            (Target::Floats(to), Results::Floats(from)) => {
                to[first..first + range.len()].copy_from_slice(&from[range]);
            }
            _ => unreachable!("the results are of the same kind"),
        }
    }

    /// Writes the results of some sums, which include their biases.
    #[inline(always)]
    pub(crate) fn write(&mut self, first: usize, sums: &[i32], factors: &[f32]) {
        match self {
            Target::Bytes(bytes, store) => {
                for ((sum, factor), byte) in sums.iter().zip(factors).zip(&mut bytes[first..]) {
                    *byte = store.byte(*sum as f32 * factor);
                }
            }
            Target::Floats(floats) => {
                for ((sum, factor), float) in sums.iter().zip(factors).zip(&mut floats[first..]) {
                    *float = *sum as f32 * factor;
                }
            }
        }
    }
}

impl<'a> Target<'a> {
    /// Parts of the given numbers of results, in order.
    pub(crate) fn split(self, lens: impl Iterator<Item = usize>) -> Vec<Target<'a>> {
        fn parts<T>(mut rest: &mut [T], lens: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
            let part = |len| {
                let (part, after) = std::mem::take(&mut rest).split_at_mut(len);
                rest = after;
                part
            };
            lens.map(part).collect()
        }
        match self {
            Target::Bytes(bytes, store) => {
                parts(bytes, lens).into_iter().map(|bytes| Target::Bytes(bytes, store)).collect()
            }
            Target::Floats(floats) => parts(floats, lens).into_iter().map(Target::Floats).collect(),
        }
    }
}
