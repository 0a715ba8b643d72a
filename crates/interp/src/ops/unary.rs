//! Elementwise functions of one operand.

use crate::floats::{for_each, map_floats};
use crate::number::{FLOATS, NUMBERS, Number, with_number};
use crate::op::{Kernel, OpRow, one};
use intact8_ir::{DType, with_element};
use intact8_kernels::elementwise::{Unary, unary_in_place};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::since(6, "Abs", NUMBERS, |_| Ok(abs())),
    OpRow::since(7, "Acos", FLOATS, |_| Ok(each(f32::acos, f64::acos))),
    OpRow::since(9, "Acosh", FLOATS, |_| Ok(each(f32::acosh, f64::acosh))),
    OpRow::since(7, "Asin", FLOATS, |_| Ok(each(f32::asin, f64::asin))),
    OpRow::since(9, "Asinh", FLOATS, |_| Ok(each(f32::asinh, f64::asinh))),
    OpRow::since(7, "Atan", FLOATS, |_| Ok(each(f32::atan, f64::atan))),
    OpRow::since(9, "Atanh", FLOATS, |_| Ok(each(f32::atanh, f64::atanh))),
    OpRow::since(6, "Ceil", FLOATS, |_| Ok(fast(Unary::Ceil, f64::ceil))),
    OpRow::since(7, "Cos", FLOATS, |_| Ok(each(f32::cos, f64::cos))),
    OpRow::since(9, "Cosh", FLOATS, |_| Ok(each(f32::cosh, f64::cosh))),
    OpRow::since(9, "Erf", NUMBERS, |_| Ok(erf())),
    OpRow::since(6, "Exp", FLOATS, |_| Ok(fast(Unary::Exp, f64::exp))),
    OpRow::since(6, "Floor", FLOATS, |_| Ok(fast(Unary::Floor, f64::floor))),
    OpRow::since(6, "Log", FLOATS, |_| Ok(fast(Unary::Log, f64::ln))),
    OpRow::since(6, "Neg", SIGNED, |_| Ok(neg())),
    OpRow::since(6, "Reciprocal", FLOATS, |_| Ok(fast(Unary::Reciprocal, f64::recip))),
    OpRow::since(11, "Round", FLOATS, |_| Ok(fast(Unary::Round, f64::round_ties_even))),
    OpRow::since(9, "Sign", NUMBERS, |_| Ok(sign())),
    OpRow::since(7, "Sin", FLOATS, |_| Ok(each(f32::sin, f64::sin))),
    OpRow::since(9, "Sinh", FLOATS, |_| Ok(each(f32::sinh, f64::sinh))),
    OpRow::since(6, "Sqrt", FLOATS, |_| Ok(fast(Unary::Sqrt, f64::sqrt))),
    OpRow::since(7, "Tan", FLOATS, |_| Ok(each(f32::tan, f64::tan))),
    OpRow::since(6, "Tanh", FLOATS, |_| Ok(fast(Unary::Tanh, f64::tanh))),
];

/// Signed types.
const SIGNED: &[DType] =
    &[DType::F32, DType::F64, DType::F16, DType::Bf16, DType::I8, DType::I16, DType::I32, DType::I64];

/// A function of floats with a kernel.
pub(super) fn fast(function: Unary, double: impl Fn(f64) -> f64 + Send + Sync + 'static) -> Kernel {
    Box::new(move |call| map_floats(call, |values| unary_in_place(function, values), &double))
}

/// A function of floats, element by element.
pub(super) fn each(
    single: impl Fn(f32) -> f32 + Send + Sync + 'static,
    double: impl Fn(f64) -> f64 + Send + Sync + 'static,
) -> Kernel {
    Box::new(move |call| map_floats(call, for_each(&single), &double))
}

/// The least integer, whose negation overflows, stays.
fn abs() -> Kernel {
    let floats = fast(Unary::Abs, f64::abs);
    Box::new(move |call| {
        let dtype = call.tensor(0)?.dtype();
        with_element!(dtype, [I8 U8 I16 U16 I32 U32 I64 U64], T => {
            let mut x = call.take(0)?;
            call.reserve::<T>(x.shape())?;
            x.values_mut::<T>()?.iter_mut().filter(|x| **x < T::ZERO).for_each(|x| *x = T::ZERO.sub(*x));
            one(x)
        }, _ => floats(call))
    })
}

fn neg() -> Kernel {
    let floats = fast(Unary::Neg, |x| -x);
    Box::new(move |call| {
        let dtype = call.tensor(0)?.dtype();
        with_element!(dtype, [I8 I16 I32 I64], T => {
            let mut x = call.take(0)?;
            call.reserve::<T>(x.shape())?;
            x.values_mut::<T>()?.iter_mut().for_each(|x| *x = x.wrapping_neg());
            one(x)
        }, _ => floats(call))
    })
}

/// 0 and NaN stay unchanged.
fn sign() -> Kernel {
    Box::new(|call| {
        let mut x = call.take(0)?;
        with_number!(x.dtype(), T => {
            call.reserve::<T>(x.shape())?;
            for x in x.values_mut::<T>()? {
                if *x > T::ZERO {
                    *x = T::ONE;
                } else if *x < T::ZERO {
                    *x = T::ZERO.sub(T::ONE);
                }
            }
            one(x)
        })
    })
}

/// Also for integers, before opset 13: truncated, so 0, or ±1 for operands so large that the function rounds to ±1.
fn erf() -> Kernel {
    let floats = fast(Unary::Erf, libm::erf);
    Box::new(move |call| {
        let dtype = call.tensor(0)?.dtype();
        with_element!(dtype, [I8 U8 I16 U16 I32 U32 I64 U64], T => {
            let mut x = call.take(0)?;
            call.reserve::<T>(x.shape())?;
            x.values_mut::<T>()?.iter_mut().for_each(|x| *x = T::from_f64(libm::erf(x.to_f64())));
            one(x)
        }, _ => floats(call))
    })
}
