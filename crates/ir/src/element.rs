//! Element types: one table row for each ONNX data type, with the Rust type that holds one element.
//!
//! An element of a sub-byte type is a byte in memory; the file formats pack them.
//! Floats below 16 bits are kept as bit patterns; `minifloat.rs` converts them.

use half::{bf16, f16};
use ndarray::{ArcArray, IxDyn};
use num_complex::Complex;
use std::fmt;

/// A Rust type that can be an element of a [`Tensor`](crate::Tensor). The table in this file has all of them.
#[expect(private_bounds, reason = "sealed: how a tensor stores its elements stays inside this crate")]
pub trait Element: Clone + PartialEq + fmt::Debug + Default + Send + Sync + Stored + 'static {
    /// The data type whose elements this type holds.
    const DTYPE: DType;

    /// Appends the element's little-endian bytes; for a string, its length in eight bytes and its text.
    fn write_le(&self, out: &mut Vec<u8>);

    /// Reads what [`Element::write_le`] wrote from exactly [`DType::byte_size`] bytes.
    /// `None` for strings, whose size is not fixed.
    fn read_le(bytes: &[u8]) -> Option<Self>;
}

/// Moves a typed array in and out of the untyped storage.
pub(crate) trait Stored: Sized {
    fn wrap(array: ArcArray<Self, IxDyn>) -> Storage;
    fn get(storage: &Storage) -> Option<&ArcArray<Self, IxDyn>>;
    fn get_mut(storage: &mut Storage) -> Option<&mut ArcArray<Self, IxDyn>>;
    fn take(storage: Storage) -> Result<ArcArray<Self, IxDyn>, Storage>;
}

macro_rules! element_types {
    ($($(#[$doc:meta])* $variant:ident $ty:ty, $name:literal, $size:literal, $number:literal;)*) => {
        /// The data type of a tensor's elements: every one that ONNX has.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DType { $($(#[$doc])* $variant,)* }

        impl DType {
            /// Every data type, in table order.
            pub const ALL: &[DType] = &[$(DType::$variant,)*];

            /// The name in the text form, such as `f32`.
            pub fn name(self) -> &'static str {
                match self { $(DType::$variant => $name,)* }
            }

            /// The number of bytes of one element in memory and in [`Element::write_le`]; 0 for strings.
            pub fn byte_size(self) -> usize {
                match self { $(DType::$variant => $size,)* }
            }

            /// The number that stands for it in ONNX, such as in the attribute `to` of Cast.
            pub fn number(self) -> i64 {
                match self { $(DType::$variant => $number,)* }
            }
        }

        /// The elements of a tensor of any type. Always in standard (row-major) layout.
        #[derive(Debug, Clone)]
        pub(crate) enum Storage { $($variant(ArcArray<$ty, IxDyn>),)* }

        impl Storage {
            pub(crate) fn dtype(&self) -> DType {
                match self { $(Storage::$variant(_) => DType::$variant,)* }
            }

            pub(crate) fn shape(&self) -> &[usize] {
                match self { $(Storage::$variant(array) => array.shape(),)* }
            }
        }

        $(impl Stored for $ty {
            fn wrap(array: ArcArray<Self, IxDyn>) -> Storage { Storage::$variant(array) }
            fn get(storage: &Storage) -> Option<&ArcArray<Self, IxDyn>> {
                match storage { Storage::$variant(array) => Some(array), _ => None }
            }
            fn get_mut(storage: &mut Storage) -> Option<&mut ArcArray<Self, IxDyn>> {
                match storage { Storage::$variant(array) => Some(array), _ => None }
            }
            fn take(storage: Storage) -> Result<ArcArray<Self, IxDyn>, Storage> {
                match storage { Storage::$variant(array) => Ok(array), other => Err(other) }
            }
        })*
    };
}

element_types! {
    /// 32-bit float.
    F32 f32, "f32", 4, 1;
    /// 64-bit float.
    F64 f64, "f64", 8, 11;
    /// 16-bit IEEE float.
    F16 f16, "f16", 2, 10;
    /// 16-bit brain float.
    Bf16 bf16, "bf16", 2, 16;
    /// 8-bit signed integer.
    I8 i8, "i8", 1, 3;
    /// 8-bit unsigned integer.
    U8 u8, "u8", 1, 2;
    /// 16-bit signed integer.
    I16 i16, "i16", 2, 5;
    /// 16-bit unsigned integer.
    U16 u16, "u16", 2, 4;
    /// 32-bit signed integer.
    I32 i32, "i32", 4, 6;
    /// 32-bit unsigned integer.
    U32 u32, "u32", 4, 12;
    /// 64-bit signed integer.
    I64 i64, "i64", 8, 7;
    /// 64-bit unsigned integer.
    U64 u64, "u64", 8, 13;
    /// Boolean.
    Bool bool, "bool", 1, 9;
    /// UTF-8 text.
    Str String, "str", 0, 8;
    /// Complex number of two 32-bit floats.
    C64 Complex<f32>, "c64", 8, 14;
    /// Complex number of two 64-bit floats.
    C128 Complex<f64>, "c128", 16, 15;
    /// 4-bit signed integer, -8 to 7.
    I4 I4, "i4", 1, 22;
    /// 4-bit unsigned integer, 0 to 15.
    U4 U4, "u4", 1, 21;
    /// 2-bit signed integer, -2 to 1.
    I2 I2, "i2", 1, 26;
    /// 2-bit unsigned integer, 0 to 3.
    U2 U2, "u2", 1, 25;
    /// 8-bit float: 4 exponent and 3 mantissa bits, no infinities.
    F8E4M3Fn F8E4M3Fn, "f8e4m3fn", 1, 17;
    /// 8-bit float: 4 exponent and 3 mantissa bits, no infinities, no negative zero.
    F8E4M3Fnuz F8E4M3Fnuz, "f8e4m3fnuz", 1, 18;
    /// 8-bit float: 5 exponent and 2 mantissa bits.
    F8E5M2 F8E5M2, "f8e5m2", 1, 19;
    /// 8-bit float: 5 exponent and 2 mantissa bits, no infinities, no negative zero.
    F8E5M2Fnuz F8E5M2Fnuz, "f8e5m2fnuz", 1, 20;
    /// 8-bit power of two, without a sign.
    F8E8M0 F8E8M0, "f8e8m0", 1, 24;
    /// 6-bit float: 2 exponent and 3 mantissa bits.
    F6E2M3 F6E2M3, "f6e2m3", 1, 27;
    /// 6-bit float: 3 exponent and 2 mantissa bits.
    F6E3M2 F6E3M2, "f6e3m2", 1, 28;
    /// 4-bit float: 2 exponent bits and 1 mantissa bit.
    F4E2M1 F4E2M1, "f4e2m1", 1, 23;
}

/// The Rust type that holds one element of a data type: `element_type!(F16)` is [`f16`](struct@f16).
#[macro_export]
macro_rules! element_type {
    (F32) => { f32 };
    (F64) => { f64 };
    (F16) => { $crate::f16 };
    (Bf16) => { $crate::bf16 };
    (I8) => { i8 };
    (U8) => { u8 };
    (I16) => { i16 };
    (U16) => { u16 };
    (I32) => { i32 };
    (U32) => { u32 };
    (I64) => { i64 };
    (U64) => { u64 };
    (Bool) => { bool };
    (Str) => { ::std::string::String };
    (C64) => { $crate::Complex<f32> };
    (C128) => { $crate::Complex<f64> };
    ($small:ident) => { $crate::$small };
}

/// Runs a block with a type name bound to the Rust element type of a [`DType`].
///
/// `with_element!(tensor.dtype(), T => tensor.values::<T>().map(|v| v.len()))` covers every data type;
/// `with_element!(dtype, [F32 F64], T => Ok(f::<T>()), other => Err(…))` covers some.
#[macro_export]
macro_rules! with_element {
    ($dtype:expr, [$($variant:ident)*], $T:ident => $body:expr, $other:pat => $otherwise:expr) => {
        match $dtype {
            $($crate::DType::$variant => { type $T = $crate::element_type!($variant); $body })*
            $other => $otherwise,
        }
    };
    (@all $dtype:expr, [$($variant:ident)*], $T:ident => $body:expr) => {
        match $dtype { $($crate::DType::$variant => { type $T = $crate::element_type!($variant); $body })* }
    };
    ($dtype:expr, $T:ident => $body:expr) => {
        $crate::with_element!(@all $dtype, [
            F32 F64 F16 Bf16 I8 U8 I16 U16 I32 U32 I64 U64 Bool Str C64 C128
            I4 U4 I2 U2 F8E4M3Fn F8E4M3Fnuz F8E5M2 F8E5M2Fnuz F8E8M0 F6E2M3 F6E3M2 F4E2M1
        ], $T => $body)
    };
}

macro_rules! small_types {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl Element for $name {
            const DTYPE: DType = DType::$name;
            fn write_le(&self, out: &mut Vec<u8>) { self.0.write_le(out) }
            fn read_le(bytes: &[u8]) -> Option<Self> { <$inner>::read_le(bytes).map($name) }
        })*
    };
}

small_types! {
    /// A 4-bit signed integer in a byte.
    I4(i8);
    /// A 4-bit unsigned integer in a byte.
    U4(u8);
    /// A 2-bit signed integer in a byte.
    I2(i8);
    /// A 2-bit unsigned integer in a byte.
    U2(u8);
    /// The bits of a [`DType::F8E4M3Fn`].
    F8E4M3Fn(u8);
    /// The bits of a [`DType::F8E4M3Fnuz`].
    F8E4M3Fnuz(u8);
    /// The bits of a [`DType::F8E5M2`].
    F8E5M2(u8);
    /// The bits of a [`DType::F8E5M2Fnuz`].
    F8E5M2Fnuz(u8);
    /// The bits of a [`DType::F8E8M0`].
    F8E8M0(u8);
    /// The bits of a [`DType::F6E2M3`], in the low six bits of a byte.
    F6E2M3(u8);
    /// The bits of a [`DType::F6E3M2`], in the low six bits of a byte.
    F6E3M2(u8);
    /// The bits of a [`DType::F4E2M1`], in the low half of a byte.
    F4E2M1(u8);
}

macro_rules! plain_types {
    ($($ty:ty => $variant:ident,)*) => {
        $(impl Element for $ty {
            const DTYPE: DType = DType::$variant;
            fn write_le(&self, out: &mut Vec<u8>) { out.extend_from_slice(&self.to_le_bytes()) }
            fn read_le(bytes: &[u8]) -> Option<Self> { Some(<$ty>::from_le_bytes(bytes.try_into().ok()?)) }
        })*
    };
}

plain_types! {
    f32 => F32, f64 => F64, f16 => F16, bf16 => Bf16,
    i8 => I8, u8 => U8, i16 => I16, u16 => U16, i32 => I32, u32 => U32, i64 => I64, u64 => U64,
}

impl Element for bool {
    const DTYPE: DType = DType::Bool;
    fn write_le(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn read_le(bytes: &[u8]) -> Option<Self> {
        Some(*bytes.first()? != 0)
    }
}

impl Element for String {
    const DTYPE: DType = DType::Str;
    fn write_le(&self, out: &mut Vec<u8>) {
        (self.len() as u64).write_le(out);
        out.extend_from_slice(self.as_bytes());
    }
    fn read_le(_bytes: &[u8]) -> Option<Self> {
        None
    }
}

macro_rules! complex_types {
    ($($part:ty => $variant:ident,)*) => {
        $(impl Element for Complex<$part> {
            const DTYPE: DType = DType::$variant;
            fn write_le(&self, out: &mut Vec<u8>) {
                self.re.write_le(out);
                self.im.write_le(out);
            }
            fn read_le(bytes: &[u8]) -> Option<Self> {
                let (re, im) = bytes.split_at_checked(size_of::<$part>())?;
                Some(Complex::new(<$part>::read_le(re)?, <$part>::read_le(im)?))
            }
        })*
    };
}

complex_types! { f32 => C64, f64 => C128, }

impl DType {
    /// The data type of that name in the text form.
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.iter().copied().find(|dtype| dtype.name() == name)
    }

    /// The data type that ONNX has that number for.
    pub fn from_number(number: i64) -> Option<DType> {
        DType::ALL.iter().copied().find(|dtype| dtype.number() == number)
    }

    /// Whether the elements are floating-point numbers of 16 bits or more.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64 | DType::F16 | DType::Bf16)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dtype_names_its_own_element() {
        for &dtype in DType::ALL {
            with_element!(dtype, T => {
                assert_eq!(T::DTYPE, dtype);
                let mut bytes = Vec::new();
                T::default().write_le(&mut bytes);
                if dtype != DType::Str {
                    assert_eq!(bytes.len(), dtype.byte_size());
                    assert_eq!(T::read_le(&bytes), Some(T::default()));
                }
            });
            assert_eq!(DType::from_name(dtype.name()), Some(dtype));
            assert_eq!(DType::from_number(dtype.number()), Some(dtype));
        }
    }
}
