//! Quantization of numbers to bytes.

use super::super::requantize::only;
use crate::call::Call;
use intact8_ir::{Element, Result};
use intact8_kernels::quantize::{Affine, Quantized, dequantize, quantize};

/// A byte, signed or unsigned.
pub(super) trait Byte: Element + Quantized {}

impl Byte for u8 {}
impl Byte for i8 {}

/// The scale and the zero point of an operand.
#[derive(Clone, Copy)]
pub(super) struct Coding<T> {
    pub(super) scale: f32,
    pub(super) zero: T,
}

/// A table with a result for each byte, from the least byte on.
pub(super) struct Table<T>([T; 256]);

impl<T: Byte> Coding<T> {
    /// Reads the two operands; an absent zero point is 0.
    pub(super) fn read(call: &Call<'_, '_>, scale: usize, zero: usize) -> Result<Coding<T>> {
        let zero = match call.optional(zero)? {
            Some(zero) => only("zero point", zero.values::<T>()?)?,
            None => T::default(),
        };
        Ok(Coding { scale: only("scale", call.values::<f32>(scale)?)?, zero })
    }

    /// The dequantized number of a byte.
    pub(super) fn number(self, byte: T) -> f32 {
        (byte.to_i32() - self.zero.to_i32()) as f32 * self.scale
    }

    pub(super) fn numbers(self, bytes: &[T]) -> Vec<f32> {
        let mut numbers = vec![0.0; bytes.len()];
        dequantize(Affine::of(self.scale, self.zero), bytes, &mut numbers);
        numbers
    }

    pub(super) fn bytes(self, numbers: &[f32], out: &mut [T]) {
        quantize(Affine::of(self.scale, self.zero), numbers, out);
    }
}

impl<T: Byte> Table<T> {
    pub(super) fn of(f: impl Fn(T) -> T) -> Table<T> {
        Table(std::array::from_fn(|idx| f(T::from_i32(T::MIN + idx as i32))))
    }

    pub(super) fn at(&self, byte: T) -> T {
        // The difference of a byte and the least one is less than 256.
        self.0[(byte.to_i32() - T::MIN) as usize & 255]
    }
}

/// A number rounded half to even, as a byte.
pub(super) fn nearest<T: Byte>(number: f32) -> T {
    // From 2^23 on an f32 has no fraction. Unlike `round_ties_even` this needs no function call without SSE 4.1.
    const NO_FRACTION: f32 = 1.5 * (1u32 << 23) as f32;
    let limited = number.clamp(-1024.0, 1024.0);
    T::from_i32((((limited + NO_FRACTION) - NO_FRACTION) as i32).clamp(T::MIN, T::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rounds_half_to_even_and_saturates() {
        for x in (-4000i16..4000).map(|idx| f32::from(idx) / 8.0).chain([f32::INFINITY, -1e30, f32::NAN]) {
            let expected = x.round_ties_even() as i32;
            assert_eq!(nearest::<i8>(x), expected.clamp(-128, 127) as i8, "{x}");
            assert_eq!(nearest::<u8>(x), expected.clamp(0, 255) as u8, "{x}");
        }
    }
}
