//! Conversion between integers and floats of 8 to 64 bits.

use crate::number::Number;
use intact8_ir::{DType, bf16, f16};

/// A number type with a conversion from any other.
pub(super) trait Cast: Number {
    /// The integer with the bits read as signed; floats are truncated.
    fn to_i64(self) -> i64;
    /// The number from the low bits; for floats, the nearest one.
    fn from_i64(x: i64) -> Self;
    /// The truncated integer; for floats, the nearest one.
    ///
    /// ONNX does not define the conversion of numbers that are out of range. Here they saturate at 64 bits, and at 32
    /// bits for i32;
    /// other integer types keep the low bits, so that -1 becomes 255 as in C.
    fn truncated(x: f64) -> Self;
}

macro_rules! integers {
    ($($ty:ty, $x:ident => $truncated:expr;)*) => {
        $(impl Cast for $ty {
            fn to_i64(self) -> i64 { self as i64 }
            fn from_i64(x: i64) -> Self { x as $ty }
            fn truncated($x: f64) -> Self { ($truncated) as $ty }
        })*
    };
}

integers! {
    i8, x => x as i32;
    u8, x => x as i32;
    i16, x => x as i32;
    u16, x => x as i32;
    i32, x => x;
    u32, x => x as i64;
    i64, x => x;
    u64, x => if x < 0.0 { x as i64 as u64 } else { x as u64 };
}

macro_rules! floats {
    ($($ty:ty),*) => {
        $(impl Cast for $ty {
            fn to_i64(self) -> i64 { self.to_f64() as i64 }
            fn from_i64(x: i64) -> Self { Self::from_f64(x as f64) }
            fn truncated(x: f64) -> Self { Self::from_f64(x) }
        })*
    };
}

floats! { f32, f64, f16, bf16 }

/// The number as another type.
pub(super) fn cast_number<A: Cast, B: Cast>(x: A) -> B {
    // These conditions are compile-time constants.
    match (A::IS_INTEGER, B::IS_INTEGER) {
        (true, true) => B::from_i64(x.to_i64()),
        (false, true) => B::truncated(x.to_f64()),
        (false, false) if A::DTYPE != DType::F64 => B::from_f32(x.to_f32()),
        // Integers that f32 rounds are infinite as f16.
        (true, false) if B::DTYPE == DType::F32 || B::DTYPE == DType::F16 => B::from_f32(x.to_f32()),
        _ => B::from_f64(x.to_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_keep_their_low_bits() {
        assert_eq!(cast_number::<i16, i8>(200), -56);
        assert_eq!(cast_number::<i8, u64>(-1), u64::MAX);
        assert_eq!(cast_number::<u64, i32>(u64::MAX - 1), -2);
    }

    #[test]
    fn casts_from_floats_truncate() {
        assert_eq!(cast_number::<f32, i8>(-1.9), -1);
        assert_eq!(cast_number::<f64, u8>(-1.0), 255);
        assert_eq!(cast_number::<f32, i32>(1e10), i32::MAX);
        assert_eq!(cast_number::<f64, u64>(1.8e19), 18_000_000_000_000_000_000);
        assert_eq!(cast_number::<f32, i64>(f32::NAN), 0);
    }

    #[test]
    fn floats_are_rounded_once() {
        // Slightly more than half way between two f32, which a conversion through f64 would lose.
        assert_eq!(cast_number::<i64, f32>((1 << 60) + (1 << 36) + 1), 1_152_921_642_045_800_448.0);
        // Slightly more than half way between two f16, which a conversion through f32 would lose.
        let above = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
        assert_eq!(cast_number::<f64, f16>(above).to_f64(), 1.0 + 2f64.powi(-10));
        assert_eq!(cast_number::<i32, f16>(70_000), f16::INFINITY);
        assert_eq!(cast_number::<u64, f64>(u64::MAX), 2f64.powi(64));
    }
}
