//! The types in which operators compute: f32 for 16-bit floats, whose results are rounded once, and the own type
//! otherwise.

use crate::number::{Number, with_float};
use half::slice::HalfFloatSliceExt;
use intact8_ir::{DType, Error, Result, Tensor, bf16, f16};
use std::borrow::Cow;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// A type for float computation: f32 or f64.
pub(crate) trait Real:
    Number
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
{
    fn magnitude(self) -> Self;
    fn sqrt(self) -> Self;
    fn powf(self, exponent: Self) -> Self;
}

macro_rules! reals {
    ($($ty:ident),*) => {
        $(impl Real for $ty {
            fn magnitude(self) -> Self { self.abs() }
            fn sqrt(self) -> Self { self.sqrt() }
            fn powf(self, exponent: Self) -> Self { self.powf(exponent) }
        })*
    };
}

reals! { f32, f64 }

/// Runs a block with a type name bound to the type of computation for a float [`DType`]; an error for the others.
macro_rules! with_real {
    ($dtype:expr, $R:ident => $body:expr) => {
        match $crate::real::computed($dtype) {
            intact8_ir::DType::F32 => {
                type $R = f32;
                $body
            }
            intact8_ir::DType::F64 => {
                type $R = f64;
                $body
            }
            other => Err($crate::number::unexpected(other)),
        }
    };
}

/// Runs a block with a type name bound to the type of computation for a float, or for an integer of 32 or 64 bits; an
/// error for the others.
macro_rules! with_wide {
    ($dtype:expr, $T:ident => $body:expr) => {
        intact8_ir::with_element!($crate::real::computed($dtype), [F32 F64 I32 U32 I64 U64], $T => $body,
            other => Err($crate::number::unexpected(other)))
    };
}

pub(crate) use {with_real, with_wide};

/// The type of computation for an element type.
pub(crate) fn computed(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::Bf16 => DType::F32,
        dtype => dtype,
    }
}

/// The elements of a tensor that must be of `dtype`, in the type of computation; borrowed if the types are equal.
pub(crate) fn numbers<T: Number>(tensor: &Tensor, dtype: DType) -> Result<Cow<'_, [T]>> {
    expect_type(tensor, dtype)?;
    if dtype == T::DTYPE {
        return Ok(Cow::Borrowed(tensor.values()?));
    }
    let mut wide = vec![0.0f32; tensor.len()];
    match dtype {
        DType::F16 => tensor.values::<f16>()?.convert_to_f32_slice(&mut wide),
        DType::Bf16 => tensor.values::<bf16>()?.convert_to_f32_slice(&mut wide),
        _ => with_float!(dtype, H => {
            wide.iter_mut().zip(tensor.values::<H>()?).for_each(|(wide, x)| *wide = x.to_f32());
            Ok(())
        })?,
    }
    Ok(Cow::Owned(wide.into_iter().map(T::from_f32).collect()))
}

/// The elements of a tensor in the type of computation, without a copy if the types are equal and the tensor is not
/// shared.
pub(crate) fn into_numbers<T: Number>(tensor: Tensor) -> Result<Vec<T>> {
    match tensor.dtype() {
        dtype if dtype == T::DTYPE => tensor.into_values(),
        dtype => Ok(numbers(&tensor, dtype)?.into_owned()),
    }
}

/// A tensor of `dtype` from computed numbers, rounded for 16-bit floats.
pub(crate) fn rounded<T: Number>(dtype: DType, shape: &[usize], values: Vec<T>) -> Result<Tensor> {
    if dtype == T::DTYPE {
        return Ok(Tensor::new(shape, values));
    }
    let wide: Vec<f32> = values.into_iter().map(|x| x.to_f32()).collect();
    match dtype {
        DType::F16 => {
            let mut halves = vec![f16::ZERO; wide.len()];
            halves.convert_from_f32_slice(&wide);
            Ok(Tensor::new(shape, halves))
        }
        DType::Bf16 => {
            let mut halves = vec![bf16::ZERO; wide.len()];
            halves.convert_from_f32_slice(&wide);
            Ok(Tensor::new(shape, halves))
        }
        _ => with_float!(dtype, H => Ok(Tensor::new(shape, wide.into_iter().map(H::from_f32).collect()))),
    }
}

/// Rounds numbers in place to `dtype`, for operators that round intermediate results.
pub(crate) fn round_in_place<T: Number>(dtype: DType, values: &mut [T]) -> Result<()> {
    if dtype != T::DTYPE {
        with_float!(dtype, H => {
            values.iter_mut().for_each(|x| *x = T::from_f32(H::from_f32(x.to_f32()).to_f32()));
        Ok(())
        })?;
    }
    Ok(())
}

/// Checks the type of an operand that shares a type parameter with another.
pub(crate) fn expect_type(tensor: &Tensor, dtype: DType) -> Result<()> {
    if tensor.dtype() == dtype {
        return Ok(());
    }
    let message = format!("expected a tensor of {dtype}, like another operand, found {}", tensor.dtype());
    Err(Error::invalid_data(message))
}
