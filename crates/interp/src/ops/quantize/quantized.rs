//! The quantized types: integers of up to 16 bits, and small floats.

use intact8_ir::{
    Element, F4E2M1, F6E2M3, F6E3M2, F8E4M3Fn, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, I2, I4, MiniFloat, U2, U4,
};

/// A type that can be dequantized.
pub(super) trait Dequantized: Element + Copy {
    /// The difference from the zero point.
    fn minus(self, zero: Self) -> f32;
}

/// A type that is the result of a quantization.
pub(super) trait Quantized: Dequantized {
    /// The nearest element at a number of steps from the zero point. Integers saturate, and NaN becomes the zero point.
    fn quantized(steps: f32, zero: Self, saturate: bool) -> Self;
}

macro_rules! integers {
    ($($ty:ident $min:literal..=$max:literal: |$q:ident| $number:expr, |$n:ident| $make:expr;)*) => {
        $(impl Dequantized for $ty {
            fn minus(self, zero: Self) -> f32 {
                let number = |$q: Self| i32::from($number);
                (number(self) - number(zero)) as f32
            }
        }

        impl Quantized for $ty {
            fn quantized(steps: f32, $q: Self, _saturate: bool) -> Self {
                let $n = (steps.round_ties_even() as i32).saturating_add($number.into()).clamp($min, $max);
                $make
            }
        })*
    };
}

integers! {
    i8 -128..=127: |q| q, |n| n as i8;
    u8 0..=255: |q| q, |n| n as u8;
    i16 -32768..=32767: |q| q, |n| n as i16;
    u16 0..=65535: |q| q, |n| n as u16;
    I4 -8..=7: |q| q.0, |n| I4(n as i8);
    U4 0..=15: |q| q.0, |n| U4(n as u8);
    I2 -2..=1: |q| q.0, |n| I2(n as i8);
    U2 0..=3: |q| q.0, |n| U2(n as u8);
}

impl Dequantized for i32 {
    fn minus(self, zero: Self) -> f32 {
        self.wrapping_sub(zero) as f32
    }
}

macro_rules! floats {
    ($($ty:ident),*) => {
        $(impl Dequantized for $ty {
            fn minus(self, zero: Self) -> f32 { self.to_f32() - zero.to_f32() }
        }

        impl Quantized for $ty {
            fn quantized(steps: f32, zero: Self, saturate: bool) -> Self {
                $ty::from_f64(f64::from(steps + zero.to_f32()), saturate)
            }
        })*
    };
}

floats! { F8E4M3Fn, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, F6E2M3, F6E3M2, F4E2M1 }
