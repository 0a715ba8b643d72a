//! Substitute element types, so that generic code is compiled for a few types instead of all.
//!
//! Expensive operators keep their own types. Operators that round intermediate results use `real` instead.

use crate::call::Call;
use crate::real::{numbers, rounded};
use intact8_ir::{
    DType, Element, Error, F4E2M1, F6E2M3, F6E3M2, F8E4M3Fn, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, F8E8M0, I2, I4,
    Result, Tensor, U2, U4, bf16, f16,
};
use std::borrow::Cow;

/// Runs a block with a type name bound to the type of the result of [`widened`]; an error for other types.
macro_rules! with_widened {
    ($dtype:expr, $T:ident => $body:expr) => {
        intact8_ir::with_element!($dtype, [F32 F64 I32 I64 U64], $T => $body,
            other => Err($crate::number::unexpected(other)))
    };
}

/// Runs a block with a type name bound to the type of the result of [`movable`].
macro_rules! with_movable {
    ($dtype:expr, $T:ident => $body:expr) => {
        intact8_ir::with_element!($dtype, [F32 I8 U8 U16 I32 I64 Bool Str C64 C128], $T => $body,
            other => Err($crate::number::unexpected(other)))
    };
}

pub(crate) use {with_movable, with_widened};

/// Converts 16-bit floats to f32, integers of 8 and 16 bits to i32, and u32 to i64; other tensors stay unchanged.
///
/// One addition, multiplication or comparison in the wider type, then [`narrowed`], equals that in the own type bit for
/// bit.
pub(crate) fn widened<'x>(x: &'x Tensor, call: &Call<'_, '_>) -> Result<Cow<'x, Tensor>> {
    let wide = match x.dtype() {
        dtype @ (DType::F16 | DType::Bf16) => {
            call.reserve::<f32>(x.shape())?;
            Tensor::new(x.shape(), numbers::<f32>(x, dtype)?.into_owned())
        }
        DType::I8 => mapped(x, call, |&x: &i8| i32::from(x))?,
        DType::U8 => mapped(x, call, |&x: &u8| i32::from(x))?,
        DType::I16 => mapped(x, call, |&x: &i16| i32::from(x))?,
        DType::U16 => mapped(x, call, |&x: &u16| i32::from(x))?,
        DType::U32 => mapped(x, call, |&x: &u32| i64::from(x))?,
        _ => return Ok(Cow::Borrowed(x)),
    };
    Ok(Cow::Owned(wide))
}

/// As [`widened`], without a copy of unchanged tensors.
pub(crate) fn into_widened(x: Tensor, call: &Call<'_, '_>) -> Result<Tensor> {
    let wide = match widened(&x, call)? {
        Cow::Owned(wide) => Some(wide),
        Cow::Borrowed(_) => None,
    };
    Ok(wide.unwrap_or(x))
}

/// Two operands of one type, [`widened`]; different types are an error.
pub(crate) fn both_widened(a: Tensor, b: Tensor, call: &Call<'_, '_>) -> Result<(Tensor, Tensor)> {
    let (expected, found) = (a.dtype(), b.dtype());
    if expected != found {
        return Err(Error::invalid_data(format!("expected a tensor of {expected}, found {found}")));
    }
    Ok((into_widened(a, call)?, into_widened(b, call)?))
}

/// Converts the results of [`widened`] operands back to their own type: floats are rounded, integers keep the low bits.
pub(crate) fn narrowed(x: Tensor, dtype: DType) -> Result<Tensor> {
    match dtype {
        DType::F16 | DType::Bf16 => {
            let shape = x.shape().to_vec();
            rounded(dtype, &shape, x.into_values::<f32>()?)
        }
        DType::I8 => back(&x, |&x: &i32| x as i8),
        DType::U8 => back(&x, |&x: &i32| x as u8),
        DType::I16 => back(&x, |&x: &i32| x as i16),
        DType::U16 => back(&x, |&x: &i32| x as u16),
        DType::U32 => back(&x, |&x: &i64| x as u32),
        _ => Ok(x),
    }
}

/// Reinterprets elements as another type of the same size, for operators that only copy them; [`restored`] reverts
/// this. Tensors of frequent types stay unchanged.
pub(crate) fn movable<'x>(x: &'x Tensor, call: &Call<'_, '_>) -> Result<Cow<'x, Tensor>> {
    macro_rules! bytes {
        ($($variant:ident)*) => {
            match x.dtype() {
                $(DType::$variant => mapped(x, call, |x: &$variant| x.0 as u8)?,)*
                DType::F16 => mapped(x, call, |x: &f16| x.to_bits())?,
                DType::Bf16 => mapped(x, call, |x: &bf16| x.to_bits())?,
                DType::I16 => mapped(x, call, |&x: &i16| x as u16)?,
                DType::U32 => mapped(x, call, |&x: &u32| x as i32)?,
                DType::U64 => mapped(x, call, |&x: &u64| x as i64)?,
                DType::F64 => mapped(x, call, |x: &f64| x.to_bits() as i64)?,
                _ => return Ok(Cow::Borrowed(x)),
            }
        };
    }
    Ok(Cow::Owned(bytes!(I4 U4 I2 U2 F8E4M3Fn F8E4M3Fnuz F8E5M2 F8E5M2Fnuz F8E8M0 F6E2M3 F6E3M2 F4E2M1)))
}

/// As [`movable`], without a copy of unchanged tensors.
pub(crate) fn into_movable(x: Tensor, call: &Call<'_, '_>) -> Result<Tensor> {
    let moved = match movable(&x, call)? {
        Cow::Owned(moved) => Some(moved),
        Cow::Borrowed(_) => None,
    };
    Ok(moved.unwrap_or(x))
}

/// Reinterprets elements from [`movable`] in their own type.
pub(crate) fn restored(x: Tensor, dtype: DType) -> Result<Tensor> {
    match dtype {
        DType::I4 => back(&x, |&x: &u8| I4(x as i8)),
        DType::I2 => back(&x, |&x: &u8| I2(x as i8)),
        DType::F16 => back(&x, |&x: &u16| f16::from_bits(x)),
        DType::Bf16 => back(&x, |&x: &u16| bf16::from_bits(x)),
        DType::I16 => back(&x, |&x: &u16| x as i16),
        DType::U32 => back(&x, |&x: &i32| x as u32),
        DType::U64 => back(&x, |&x: &i64| x as u64),
        DType::F64 => back(&x, |&x: &i64| f64::from_bits(x as u64)),
        DType::U4 => back(&x, |&x: &u8| U4(x)),
        DType::U2 => back(&x, |&x: &u8| U2(x)),
        DType::F8E4M3Fn => back(&x, |&x: &u8| F8E4M3Fn(x)),
        DType::F8E4M3Fnuz => back(&x, |&x: &u8| F8E4M3Fnuz(x)),
        DType::F8E5M2 => back(&x, |&x: &u8| F8E5M2(x)),
        DType::F8E5M2Fnuz => back(&x, |&x: &u8| F8E5M2Fnuz(x)),
        DType::F8E8M0 => back(&x, |&x: &u8| F8E8M0(x)),
        DType::F6E2M3 => back(&x, |&x: &u8| F6E2M3(x)),
        DType::F6E3M2 => back(&x, |&x: &u8| F6E3M2(x)),
        DType::F4E2M1 => back(&x, |&x: &u8| F4E2M1(x)),
        _ => Ok(x),
    }
}

fn mapped<A: Element, B: Element>(x: &Tensor, call: &Call<'_, '_>, f: impl Fn(&A) -> B) -> Result<Tensor> {
    call.reserve::<B>(x.shape())?;
    back(x, f)
}

/// Maps elements into new memory, which the operator has already reserved for its result.
fn back<A: Element, B: Element>(x: &Tensor, f: impl Fn(&A) -> B) -> Result<Tensor> {
    Ok(Tensor::new(x.shape(), x.values::<A>()?.iter().map(f).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Context, Limits};
    use crate::memory::SharedMemory;
    use intact8_ir::with_element;
    use smallvec::SmallVec;

    /// Elements of a type with all bit patterns of a byte; none for strings.
    fn samples(dtype: DType) -> Tensor {
        with_element!(dtype, T => {
            let bytes = |first: u8| (0..16).map(|k| first.wrapping_mul(31).wrapping_add(k)).collect::<Vec<u8>>();
            let element = |first: u8| T::read_le(&bytes(first)[..dtype.byte_size()]);
            let values: Vec<T> = (0..=255).filter_map(element).collect();
            Tensor::new(&[values.len()], values)
        })
    }

    fn bytes_of(x: &Tensor) -> Vec<u8> {
        let mut bytes = vec![];
        with_element!(x.dtype(), T => x.values::<T>().unwrap().iter().for_each(|x| x.write_le(&mut bytes)));
        bytes
    }

    #[test]
    fn movable_elements_are_restored_bit_for_bit() {
        let context = Context::new(Limits::default(), SharedMemory::new(Limits::default().memory), None);
        let call = Call { operands: SmallVec::new(), context: &context };
        for &dtype in DType::ALL {
            let x = samples(dtype);
            let moved = movable(&x, &call).unwrap();
            let is_known: Result<bool> = with_movable!(moved.dtype(), T => Ok(T::DTYPE == moved.dtype()));
            assert!(is_known.unwrap(), "{dtype}");
            let back = restored(moved.into_owned(), dtype).unwrap();
            assert_eq!((back.dtype(), bytes_of(&back)), (dtype, bytes_of(&x)));
        }
    }

    #[test]
    fn widened_numbers_are_narrowed_without_loss() {
        let context = Context::new(Limits::default(), SharedMemory::new(Limits::default().memory), None);
        let call = Call { operands: SmallVec::new(), context: &context };
        for &dtype in crate::number::NUMBERS {
            let x = samples(dtype);
            let back = narrowed(widened(&x, &call).unwrap().into_owned(), dtype).unwrap();
            assert_eq!(back.dtype(), dtype);
            with_element!(dtype, [F16 Bf16], T => {
                // NaN stays NaN, possibly with other bits.
                let pairs = x.values::<T>().unwrap().iter().zip(back.values::<T>().unwrap());
                assert!(pairs.into_iter().all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()));
            }, _ => assert_eq!(bytes_of(&back), bytes_of(&x)));
        }
    }

    #[test]
    fn operands_of_different_types_are_rejected() {
        let context = Context::new(Limits::default(), SharedMemory::new(Limits::default().memory), None);
        let call = Call { operands: SmallVec::new(), context: &context };
        let error = both_widened(Tensor::scalar(1u8), Tensor::scalar(1i8), &call).unwrap_err();
        assert!(error.to_string().contains("expected a tensor of u8, found i8"), "{error}");
    }
}
