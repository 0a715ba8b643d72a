//! Generic arithmetic on element types, as ONNX defines it: integers wrap around, 16-bit floats round each result.

use intact8_ir::{DType, Element, bf16, f16, rounded_to_odd};

/// Float types.
pub(crate) const FLOATS: &[DType] = &[DType::F32, DType::F64, DType::F16, DType::Bf16];

/// Integer types of 8 to 64 bits.
pub(crate) const INTEGERS: &[DType] =
    &[DType::I8, DType::U8, DType::I16, DType::U16, DType::I32, DType::U32, DType::I64, DType::U64];

/// Float and integer types.
pub(crate) const NUMBERS: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::Bf16,
    DType::I8,
    DType::U8,
    DType::I16,
    DType::U16,
    DType::I32,
    DType::U32,
    DType::I64,
    DType::U64,
];

/// Float types, and integer types of 32 and 64 bits: the types of ONNX's matrix products and reductions.
pub(crate) const WIDE: &[DType] =
    &[DType::F32, DType::F64, DType::F16, DType::Bf16, DType::I32, DType::U32, DType::I64, DType::U64];

/// An element type with arithmetic.
pub(crate) trait Number: Element + Copy + PartialOrd {
    const ZERO: Self;
    const ONE: Self;
    /// The least finite number.
    const LEAST: Self;
    /// The greatest finite number.
    const GREATEST: Self;
    /// The lower bound of all numbers: the least number, or minus infinity.
    const LOWEST: Self;
    /// The upper bound of all numbers: the greatest number, or infinity.
    const HIGHEST: Self;
    /// Whether it is an integer.
    const IS_INTEGER: bool;

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// The quotient. Integer division truncates, and its quotient by 0 is 0.
    fn div(self, other: Self) -> Self;
    /// The remainder of truncating division, with the sign of the dividend; for integers 0 if the divisor is 0.
    fn rem(self, other: Self) -> Self;

    fn to_f64(self) -> f64;
    /// The nearest number. For integers it truncates and saturates; NaN becomes 0.
    fn from_f64(x: f64) -> Self;

    /// The element as f32.
    fn to_f32(self) -> f32 {
        self.to_f64() as f32
    }
    fn from_f32(x: f32) -> Self {
        Self::from_f64(f64::from(x))
    }
    fn is_nan(self) -> bool {
        false
    }
}

macro_rules! integers {
    ($($ty:ty),*) => {
        $(impl Number for $ty {
            const ZERO: Self = 0;
            const ONE: Self = 1;
            const LEAST: Self = <$ty>::MIN;
            const GREATEST: Self = <$ty>::MAX;
            const LOWEST: Self = <$ty>::MIN;
            const HIGHEST: Self = <$ty>::MAX;
            const IS_INTEGER: bool = true;
            fn add(self, other: Self) -> Self { self.wrapping_add(other) }
            fn sub(self, other: Self) -> Self { self.wrapping_sub(other) }
            fn mul(self, other: Self) -> Self { self.wrapping_mul(other) }
            fn div(self, other: Self) -> Self { if other == 0 { 0 } else { self.wrapping_div(other) } }
            fn rem(self, other: Self) -> Self { if other == 0 { 0 } else { self.wrapping_rem(other) } }
            fn to_f64(self) -> f64 { self as f64 }
            fn from_f64(x: f64) -> Self { x as $ty }
            fn to_f32(self) -> f32 { self as f32 }
        })*
    };
}

macro_rules! floats {
    ($($ty:ty),*) => {
        $(impl Number for $ty {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LEAST: Self = <$ty>::MIN;
            const GREATEST: Self = <$ty>::MAX;
            const LOWEST: Self = <$ty>::NEG_INFINITY;
            const HIGHEST: Self = <$ty>::INFINITY;
            const IS_INTEGER: bool = false;
            fn add(self, other: Self) -> Self { self + other }
            fn sub(self, other: Self) -> Self { self - other }
            fn mul(self, other: Self) -> Self { self * other }
            fn div(self, other: Self) -> Self { self / other }
            fn rem(self, other: Self) -> Self { self % other }
            fn to_f64(self) -> f64 { f64::from(self) }
            fn from_f64(x: f64) -> Self { x as $ty }
            fn is_nan(self) -> bool { <$ty>::is_nan(self) }
        })*
    };
}

macro_rules! halves {
    ($($ty:ident),*) => {
        $(impl Number for $ty {
            const ZERO: Self = $ty::ZERO;
            const ONE: Self = $ty::ONE;
            const LEAST: Self = $ty::MIN;
            const GREATEST: Self = $ty::MAX;
            const LOWEST: Self = $ty::NEG_INFINITY;
            const HIGHEST: Self = $ty::INFINITY;
            const IS_INTEGER: bool = false;
            fn add(self, other: Self) -> Self { self + other }
            fn sub(self, other: Self) -> Self { self - other }
            fn mul(self, other: Self) -> Self { self * other }
            fn div(self, other: Self) -> Self { self / other }
            fn rem(self, other: Self) -> Self { self % other }
            fn to_f64(self) -> f64 { $ty::to_f64(self) }
            fn from_f64(x: f64) -> Self { $ty::from_f32(rounded_to_odd(x)) }
            fn to_f32(self) -> f32 { $ty::to_f32(self) }
            fn from_f32(x: f32) -> Self { $ty::from_f32(x) }
            fn is_nan(self) -> bool { $ty::is_nan(self) }
        })*
    };
}

integers! { i8, u8, i16, u16, i32, u32, i64, u64 }
floats! { f32, f64 }
halves! { f16, bf16 }

/// Runs a block with a type name bound to the element type of a numeric [`DType`]; an error for the others.
macro_rules! with_number {
    ($dtype:expr, $T:ident => $body:expr) => {
        intact8_ir::with_element!($dtype, [F32 F64 F16 Bf16 I8 U8 I16 U16 I32 U32 I64 U64], $T => $body,
            other => Err($crate::number::unexpected(other)))
    };
}

/// Runs a block with a type name bound to the element type of a float [`DType`]; an error for the others.
macro_rules! with_float {
    ($dtype:expr, $T:ident => $body:expr) => {
        intact8_ir::with_element!($dtype, [F32 F64 F16 Bf16], $T => $body,
            other => Err($crate::number::unexpected(other)))
    };
}

pub(crate) use {with_float, with_number};

/// The error for an operand of a type that the operator does not support.
pub(crate) fn unexpected(dtype: DType) -> intact8_ir::Error {
    intact8_ir::Error::unsupported(format!("no kernel for operands of {dtype}"))
}

/// The order of numbers, with NaN above all of them.
pub(crate) fn by_value<T: Number>(a: &T, b: &T) -> std::cmp::Ordering {
    a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}
