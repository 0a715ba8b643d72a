//! Quantization of slices to integers of up to 16 bits, and dequantization, as ONNX QuantizeLinear and DequantizeLinear
//! define them.
//!
//! `q = clamp(round_half_even(x / scale) + zero_point, min, max)` with a true division, and
//! `x' = (q - zero_point) * scale`.
//! Infinities saturate; NaN becomes the zero point.
//! Every kernel computes the same bits for every input.
//! This module does not choose scales.

mod add_bytes;
mod mul_bytes;
mod reference;

pub use add_bytes::{add_bytes, add_bytes_within};
pub use mul_bytes::{ProductScaling, mul_bytes};

use crate::isa::Loops;
use crate::loops::{LoopKernel, best};
use crate::parallel;

/// The parameters of a quantization.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// The difference between two neighbouring real values, positive.
    pub scale: f32,
    /// The integer that represents 0.0.
    pub zero_point: i32,
    /// The smallest integer.
    pub min: i32,
    /// The largest integer.
    pub max: i32,
}

impl Affine {
    /// The quantization to the full range of a type.
    pub fn of<T: Quantized>(scale: f32, zero_point: T) -> Affine {
        Affine { scale, zero_point: zero_point.to_i32(), min: T::MIN, max: T::MAX }
    }

    /// The range of `round(x / scale)`, which the fast kernels read from the low bits of a float.
    fn bounds(self) -> (f32, f32) {
        let (low, high) =
            (self.min.saturating_sub(self.zero_point), self.max.saturating_sub(self.zero_point));
        let few = -MOST_STEPS..=MOST_STEPS;
        assert!(
            low <= high && few.contains(&low) && few.contains(&high),
            "{self:?} has no range of at most 16 bits"
        );
        (low as f32, high as f32)
    }
}

/// An integer type that can be dequantized.
pub trait Integer: Copy + Send + Sync {
    /// The same number.
    fn to_i32(self) -> i32;
}

/// An integer type of up to 16 bits, the result of a quantization.
pub trait Quantized: Integer + Default {
    /// The smallest number of the type.
    const MIN: i32;
    /// The largest number of the type.
    const MAX: i32;
    /// The number as this type; it must be within `MIN..=MAX`.
    fn from_i32(number: i32) -> Self;
}

macro_rules! impl_quantized {
    ($($type:ty),*) => {$(
        impl Integer for $type {
            #[inline(always)]
            fn to_i32(self) -> i32 {
                self as i32
            }
        }

        impl Quantized for $type {
            const MIN: i32 = <$type>::MIN as i32;
            const MAX: i32 = <$type>::MAX as i32;

            #[inline(always)]
            fn from_i32(number: i32) -> Self {
                number as $type
            }
        }
    )*};
}
impl_quantized!(i8, u8, i16, u16);

impl Integer for i32 {
    #[inline(always)]
    fn to_i32(self) -> i32 {
        self
    }
}

/// Quantizes with the best kernel; see [`LoopKernel::quantize`].
pub fn quantize<T: Quantized>(affine: Affine, input: &[f32], output: &mut [T]) {
    best().quantize(affine, input, output);
}

/// Dequantizes with the best kernel; see [`LoopKernel::dequantize`].
pub fn dequantize<T: Integer>(affine: Affine, input: &[T], output: &mut [f32]) {
    best().dequantize(affine, input, output);
}

/// Quantizes and dequantizes with the best kernel; see [`LoopKernel::fake_quantize`].
pub fn fake_quantize(affine: Affine, input: &[f32], output: &mut [f32]) {
    best().fake_quantize(affine, input, output);
}

/// Quantizes sums with the best kernel; see [`LoopKernel::requantize`].
pub fn requantize<T: Quantized>(bias: i32, factor: f32, zero_point: T, sums: &[i32], output: &mut [T]) {
    best().requantize(bias, factor, zero_point, sums, output);
}

/// Quantizes sums with the best kernel; see [`LoopKernel::requantize_each`].
pub fn requantize_each<T: Quantized>(factors: &[f32], zero_point: T, sums: &[i32], output: &mut [T]) {
    best().requantize_each(factors, zero_point, sums, output);
}

/// Calls `run` for every slice of a tensor that shares parameters: `affines` along one axis, `inner` elements each.
///
/// # Panics
/// If the slices differ in length, or are not a multiple of `affines.len() * inner`.
pub fn per_axis<T, U>(
    affines: &[Affine],
    inner: usize,
    input: &[T],
    output: &mut [U],
    run: impl Fn(Affine, &[T], &mut [U]),
) {
    assert_eq!(input.len(), output.len(), "input and output differ in length");
    if input.is_empty() {
        return;
    }
    assert!(input.len().is_multiple_of(affines.len() * inner), "the axis does not divide the elements");
    let slices = input.chunks_exact(inner).zip(output.chunks_exact_mut(inner));
    for ((input, output), affine) in slices.zip(affines.iter().cycle()) {
        run(*affine, input, output);
    }
}

impl LoopKernel {
    /// `output = clamp(round_half_even(input / scale) + zero_point, min, max)`.
    ///
    /// # Panics
    /// If the slices differ in length, or the range has more than 16 bits.
    pub fn quantize<T: Quantized>(&self, affine: Affine, input: &[f32], output: &mut [T]) {
        assert_eq!(input.len(), output.len(), "input and output differ in length");
        let (low, high) = affine.bounds();
        parallel::for_each_piece(COST, output, |range, output| match self.isa {
            Some(isa) => isa.run(Quantize { affine, low, high, input: &input[range], output }),
            None => reference::quantize(affine, &input[range], output),
        });
    }

    /// `output = (input - zero_point) * scale`; `min` and `max` are not used.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn dequantize<T: Integer>(&self, affine: Affine, input: &[T], output: &mut [f32]) {
        assert_eq!(input.len(), output.len(), "input and output differ in length");
        parallel::for_each_piece(COST, output, |range, output| match self.isa {
            Some(isa) => isa.run(Dequantize { affine, input: &input[range], output }),
            None => reference::dequantize(affine, &input[range], output),
        });
    }

    /// `output = saturate(round_half_even((sum + bias) * factor) + zero_point)`, with a wrapping sum and the product in
    /// f32.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn requantize<T: Quantized>(
        &self,
        bias: i32,
        factor: f32,
        zero_point: T,
        sums: &[i32],
        output: &mut [T],
    ) {
        assert_eq!(sums.len(), output.len(), "sums and output differ in length");
        let affine = Affine::of(1.0, zero_point);
        let scaled = |sum: i32| sum.wrapping_add(bias) as f32 * factor;
        match self.isa {
            Some(isa) => isa.run(Requantize { affine, scaled, sums: sums.iter().copied(), output }),
            None => reference::requantize(affine, scaled, sums.iter().copied(), output),
        }
    }

    /// As [`requantize`](Self::requantize), without a bias and with one factor for each sum.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn requantize_each<T: Quantized>(
        &self,
        factors: &[f32],
        zero_point: T,
        sums: &[i32],
        output: &mut [T],
    ) {
        assert_eq!(sums.len(), output.len(), "sums and output differ in length");
        assert_eq!(sums.len(), factors.len(), "sums and factors differ in length");
        let affine = Affine::of(1.0, zero_point);
        let sums = sums.iter().copied().zip(factors.iter().copied());
        let scaled = |(sum, factor): (i32, f32)| sum as f32 * factor;
        match self.isa {
            Some(isa) => isa.run(Requantize { affine, scaled, sums, output }),
            None => reference::requantize(affine, scaled, sums, output),
        }
    }

    /// [`quantize`](Self::quantize) and [`dequantize`](Self::dequantize) in one pass, with the same bits.
    ///
    /// # Panics
    /// As [`quantize`](Self::quantize).
    pub fn fake_quantize(&self, affine: Affine, input: &[f32], output: &mut [f32]) {
        assert_eq!(input.len(), output.len(), "input and output differ in length");
        let (low, high) = affine.bounds();
        parallel::for_each_piece(COST, output, |range, output| match self.isa {
            Some(isa) => isa.run(FakeQuantize { affine, low, high, input: &input[range], output }),
            None => reference::fake_quantize(affine, &input[range], output),
        });
    }
}

/// The approximate number of operations per element.
const COST: usize = 4;

/// The largest range that fits into the low bits of a float together with [`ROUNDER`].
const MOST_STEPS: i32 = 1 << 22;

/// Neighbouring floats of this size differ by one, so adding it rounds half to even.
pub(crate) const ROUNDER: f32 = (3 << 22) as f32;

/// `round_half_even(clamp(input / scale, low, high)) + ROUNDER`, NaN counting as 0.
///
/// Since the bounds are integers, clamping before rounding has the same result, and limits the operand of the rounding.
#[inline(always)]
fn steps(input: f32, scale: f32, low: f32, high: f32) -> f32 {
    limited(input / scale, low, high)
}

/// As [`steps`], for a quotient.
#[inline(always)]
pub(crate) fn limited(steps: f32, low: f32, high: f32) -> f32 {
    let steps = if steps.is_nan() { 0.0 } else { steps };
    let steps = if steps > low { steps } else { low };
    let steps = if steps < high { steps } else { high };
    steps + ROUNDER
}

struct Quantize<'a, T> {
    affine: Affine,
    low: f32,
    high: f32,
    input: &'a [f32],
    output: &'a mut [T],
}

impl<T: Quantized> Loops for Quantize<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        let Quantize { affine, low, high, .. } = self;
        let offset = affine.zero_point.wrapping_sub(ROUNDER.to_bits() as i32);
        for (x, q) in self.input.iter().zip(self.output) {
            let steps = steps(*x, affine.scale, low, high);
            *q = T::from_i32((steps.to_bits() as i32).wrapping_add(offset));
        }
    }
}

struct Requantize<'a, T, S, F> {
    affine: Affine,
    scaled: F,
    sums: S,
    output: &'a mut [T],
}

impl<T: Quantized, S: Iterator, F: Fn(S::Item) -> f32> Loops for Requantize<'_, T, S, F> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        let (low, high) = self.affine.bounds();
        let offset = self.affine.zero_point.wrapping_sub(ROUNDER.to_bits() as i32);
        for (sum, q) in self.sums.zip(self.output) {
            let steps = limited((self.scaled)(sum), low, high);
            *q = T::from_i32((steps.to_bits() as i32).wrapping_add(offset));
        }
    }
}

struct Dequantize<'a, T> {
    affine: Affine,
    input: &'a [T],
    output: &'a mut [f32],
}

impl<T: Integer> Loops for Dequantize<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        let Affine { scale, zero_point, .. } = self.affine;
        for (q, x) in self.input.iter().zip(self.output) {
            *x = q.to_i32().wrapping_sub(zero_point) as f32 * scale;
        }
    }
}

struct FakeQuantize<'a> {
    affine: Affine,
    low: f32,
    high: f32,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Loops for FakeQuantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        let FakeQuantize { affine, low, high, .. } = self;
        for (x, y) in self.input.iter().zip(self.output) {
            *y = (steps(*x, affine.scale, low, high) - ROUNDER) * affine.scale;
        }
    }
}
