//! Interpolation of elements of any type: integers as floats, complex numbers in two parts.

use crate::number::{Number, with_number};
use crate::real::Real;
use intact8_ir::{Complex, DType, Element, Result, Tensor};
use std::borrow::Cow;

/// Runs a block with a type name bound to a float type that represents all numbers of a [`DType`].
macro_rules! with_sample {
    ($dtype:expr, $R:ident => $body:expr) => {
        match $dtype {
            intact8_ir::DType::F32
            | intact8_ir::DType::F16
            | intact8_ir::DType::Bf16
            | intact8_ir::DType::I8
            | intact8_ir::DType::U8
            | intact8_ir::DType::I16
            | intact8_ir::DType::U16 => {
                type $R = f32;
                $body
            }
            intact8_ir::DType::F64
            | intact8_ir::DType::I32
            | intact8_ir::DType::U32
            | intact8_ir::DType::I64
            | intact8_ir::DType::U64 => {
                type $R = f64;
                $body
            }
            other => Err($crate::number::unexpected(other)),
        }
    };
}

pub(crate) use with_sample;

/// The numbers of a tensor as floats.
pub(crate) fn samples<R: Real>(tensor: &Tensor) -> Result<Cow<'_, [R]>> {
    if tensor.dtype() == R::DTYPE {
        return Ok(Cow::Borrowed(tensor.values()?));
    }
    with_number!(tensor.dtype(), T => Ok(Cow::Owned(tensor.values::<T>()?.iter().map(|&x| converted(x)).collect())))
}

/// A tensor of `dtype` from floats; integers are truncated.
pub(crate) fn stored<R: Real>(dtype: DType, shape: &[usize], values: Vec<R>) -> Result<Tensor> {
    if dtype == R::DTYPE {
        return Ok(Tensor::new(shape, values));
    }
    with_number!(dtype, T => Ok(Tensor::new(shape, values.into_iter().map(converted::<R, T>).collect())))
}

/// The number in another type, converted without loss.
fn converted<A: Number, B: Number>(x: A) -> B {
    let is_wide = [A::DTYPE, B::DTYPE].contains(&DType::F64);
    if is_wide { B::from_f64(x.to_f64()) } else { B::from_f32(x.to_f32()) }
}

/// A linear operation on a tensor; for complex numbers, on the real and on the imaginary parts.
pub(crate) fn by_parts(x: &Tensor, run: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    match x.dtype() {
        DType::C64 => complex_by_parts::<f32>(x, run),
        DType::C128 => complex_by_parts::<f64>(x, run),
        _ => run(x),
    }
}

fn complex_by_parts<P: Number>(x: &Tensor, run: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor>
where
    Complex<P>: Element,
{
    let values = x.values::<Complex<P>>()?;
    let re = run(&Tensor::new(x.shape(), values.iter().map(|value| value.re).collect()))?;
    let im = run(&Tensor::new(x.shape(), values.iter().map(|value| value.im).collect()))?;
    let pairs = re.values::<P>()?.iter().zip(im.values::<P>()?);
    Ok(Tensor::new(re.shape(), pairs.map(|(&re, &im)| Complex { re, im }).collect()))
}
