//! Addition of quantized bytes, with a quantized result.

use super::{COST, Quantized, ROUNDER, limited, reference};
use crate::isa::Loops;
use crate::loops::{LoopKernel, best};
use crate::parallel;

/// Adds with the best kernel; see [`LoopKernel::add_bytes`].
pub fn add_bytes<T: Quantized>(factors: [f32; 2], rest: f32, a: &[T], b: &[T], output: &mut [T]) {
    best().add_bytes(factors, rest, a, b, output);
}

/// Adds and limits with the best kernel; see [`LoopKernel::add_bytes_within`].
pub fn add_bytes_within<T: Quantized>(
    factors: [f32; 2],
    rest: f32,
    range: [T; 2],
    a: &[T],
    b: &[T],
    output: &mut [T],
) {
    best().add_bytes_within(factors, rest, range, a, b, output);
}

impl LoopKernel {
    /// `output = saturate(round_half_even(a · factors[0] + (b · factors[1] + rest)))` for integers of at most 8 bits,
    /// each product rounded together with its addition.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn add_bytes<T: Quantized>(&self, factors: [f32; 2], rest: f32, a: &[T], b: &[T], output: &mut [T]) {
        self.add_bytes_within(factors, rest, [T::from_i32(T::MIN), T::from_i32(T::MAX)], a, b, output);
    }

    /// As [`add_bytes`](Self::add_bytes), limited to the smallest and the largest number of `range`, for a fused Relu
    /// or Clip.
    ///
    /// # Panics
    /// If the slices differ in length, or the range is empty.
    pub fn add_bytes_within<T: Quantized>(
        &self,
        factors: [f32; 2],
        rest: f32,
        range: [T; 2],
        a: &[T],
        b: &[T],
        output: &mut [T],
    ) {
        assert!(range[0].to_i32() <= range[1].to_i32(), "the smallest number exceeds the largest");
        assert_eq!(a.len(), output.len(), "operand and output differ in length");
        assert_eq!(b.len(), output.len(), "operand and output differ in length");
        parallel::for_each_piece(COST, output, |piece, output| {
            let (a, b) = (&a[piece.clone()], &b[piece]);
            match self.isa {
                Some(isa) => isa.run(AddBytes { factors, rest, range, a, b, output }),
                None => reference::add_bytes(factors, rest, range, a, b, output),
            }
        });
    }
}

struct AddBytes<'a, T> {
    factors: [f32; 2],
    rest: f32,
    range: [T; 2],
    a: &'a [T],
    b: &'a [T],
    output: &'a mut [T],
}

impl<T: Quantized> Loops for AddBytes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, fused: bool) {
        let AddBytes { factors: [of_a, of_b], rest, .. } = self;
        let [low, high] = self.range.map(|number| number.to_i32() as f32);
        for ((a, b), q) in self.a.iter().zip(self.b).zip(self.output) {
            let (a, b) = (a.to_i32() as f32, b.to_i32() as f32);
            let sum = rounded_once(fused, a, of_a, rounded_once(fused, b, of_b, rest));
            let steps = limited(sum, low, high);
            *q = T::from_i32((steps.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32));
        }
    }
}

/// `byte · factor + rest`: the product is exact in f64, and the error of the sum in f64 does not affect the rounding to
/// f32.
#[inline(always)]
fn rounded_once(fused: bool, byte: f32, factor: f32, rest: f32) -> f32 {
    if fused {
        byte.mul_add(factor, rest)
    } else {
        (f64::from(byte) * f64::from(factor) + f64::from(rest)) as f32
    }
}
