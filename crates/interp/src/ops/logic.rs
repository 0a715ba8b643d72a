//! Comparisons and tests with boolean results, and operations on booleans and bits.

use super::binary::pairs;
use crate::broadcast::{broadcast_shape, zip};
use crate::call::Call;
use crate::number::{INTEGERS, NUMBERS, Number, unexpected};
use crate::op::{CompileContext, Kernel, OpRow, Outputs, one};
use crate::stand_in::{both_widened, narrowed, with_widened};
use intact8_ir::{DType, Element, Error, MiniFloat, Result, Tensor, with_element};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::since(7, "And", BOOLEANS, |_| Ok(booleans(|a, b| a & b))),
    OpRow::since(11, "BitShift", INTEGERS, bit_shift),
    OpRow::since(18, "BitwiseAnd", INTEGERS, |_| Ok(bitwise(Bitwise::And))),
    OpRow::since(18, "BitwiseNot", INTEGERS, |_| Ok(bitwise_not())),
    OpRow::since(18, "BitwiseOr", INTEGERS, |_| Ok(bitwise(Bitwise::Or))),
    OpRow::since(18, "BitwiseXor", INTEGERS, |_| Ok(bitwise(Bitwise::Xor))),
    OpRow::since(7, "Equal", COMPARABLE, |_| Ok(equal())),
    OpRow::since(7, "Greater", NUMBERS, |_| Ok(order(Order::Greater))),
    OpRow::since(12, "GreaterOrEqual", NUMBERS, |_| Ok(order(Order::GreaterOrEqual))),
    OpRow::since(10, "IsInf", TESTABLE, is_inf),
    OpRow::since(9, "IsNaN", TESTABLE, |_| Ok(test(f64::is_nan))),
    OpRow::since(7, "Less", NUMBERS, |_| Ok(order(Order::Less))),
    OpRow::since(12, "LessOrEqual", NUMBERS, |_| Ok(order(Order::LessOrEqual))),
    OpRow::since(1, "Not", BOOLEANS, |_| Ok(not())),
    OpRow::since(7, "Or", BOOLEANS, |_| Ok(booleans(|a, b| a | b))),
    OpRow::since(7, "Xor", BOOLEANS, |_| Ok(booleans(|a, b| a ^ b))),
];

const BOOLEANS: &[DType] = &[DType::Bool];

/// The types of Equal.
const COMPARABLE: &[DType] = &[
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
    DType::Bool,
    DType::Str,
];

/// The types of IsInf and IsNaN.
const TESTABLE: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::Bf16,
    DType::F8E4M3Fn,
    DType::F8E4M3Fnuz,
    DType::F8E5M2,
    DType::F8E5M2Fnuz,
];

#[derive(Clone, Copy)]
enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

fn order(order: Order) -> Kernel {
    Box::new(move |call| {
        let (a, b) = both_widened(call.take(0)?, call.take(1)?, call)?;
        with_widened!(a.dtype(), T => match order {
            Order::Less => compare::<T>(&a, &b, call, |a, b| a < b),
            Order::LessOrEqual => compare::<T>(&a, &b, call, |a, b| a <= b),
            Order::Greater => compare::<T>(&a, &b, call, |a, b| a > b),
            Order::GreaterOrEqual => compare::<T>(&a, &b, call, |a, b| a >= b),
        })
    })
}

fn equal() -> Kernel {
    Box::new(|call| {
        let (a, b) = both_widened(call.take(0)?, call.take(1)?, call)?;
        with_element!(a.dtype(), [F32 F64 I32 I64 U64 Bool Str],
            T => compare::<T>(&a, &b, call, |a, b| a == b), other => Err(unexpected(other)))
    })
}

fn compare<T: Element>(
    a: &Tensor,
    b: &Tensor,
    call: &Call<'_, '_>,
    f: impl Fn(&T, &T) -> bool,
) -> Result<Outputs> {
    let shape = broadcast_shape(&[a.shape(), b.shape()])?;
    call.reserve::<bool>(&shape)?;
    one(Tensor::new(&shape, zip((a.values()?, a.shape()), (b.values()?, b.shape()), &shape, f)))
}

fn booleans(f: impl Fn(bool, bool) -> bool + Send + Sync + 'static) -> Kernel {
    Box::new(move |call| compare::<bool>(call.tensor(0)?, call.tensor(1)?, call, |a, b| f(*a, *b)))
}

fn not() -> Kernel {
    Box::new(|call| {
        let mut x = call.take(0)?;
        call.reserve::<bool>(x.shape())?;
        x.values_mut::<bool>()?.iter_mut().for_each(|x| *x = !*x);
        one(x)
    })
}

#[derive(Clone, Copy)]
enum Bitwise {
    And,
    Or,
    Xor,
}

fn bitwise(operation: Bitwise) -> Kernel {
    Box::new(move |call| {
        let (a, b) = (call.take(0)?, call.take(1)?);
        let shape = broadcast_shape(&[a.shape(), b.shape()])?;
        let dtype = a.dtype();
        let (a, b) = both_widened(a, b, call)?;
        let out = with_element!(a.dtype(), [I32 I64 U64], T => {
            call.reserve::<T>(&shape)?;
            match operation {
                Bitwise::And => pairs::<T>(a, b, &shape, |a, b| a & b),
                Bitwise::Or => pairs::<T>(a, b, &shape, |a, b| a | b),
                Bitwise::Xor => pairs::<T>(a, b, &shape, |a, b| a ^ b),
            }
        }, other => Err(unexpected(other)))?;
        one(narrowed(out, dtype)?)
    })
}

/// Bits that are shifted out are lost. The right shift of signed integers keeps the sign.
fn bit_shift(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let is_left = match ctx.str("direction", "")? {
        "LEFT" => true,
        "RIGHT" => false,
        other => {
            return Err(Error::invalid_model(format!("direction must be LEFT or RIGHT, found {other:?}")));
        }
    };
    Ok(Box::new(move |call| {
        let (a, b) = (call.take(0)?, call.take(1)?);
        let shape = broadcast_shape(&[a.shape(), b.shape()])?;
        let (dtype, n_bits) = (a.dtype(), 8 * a.dtype().byte_size() as u32);
        let (a, b) = both_widened(a, b, call)?;
        let out = with_element!(a.dtype(), [I32 I64 U64], T => {
            call.reserve::<T>(&shape)?;
            let distance = |n: T| Some(distance(n)).filter(|&n| n < n_bits);
            let left = |x: T, n: T| distance(n).and_then(|n| x.checked_shl(n)).unwrap_or(T::ZERO);
            let right = |x: T, n: T| {
                distance(n).and_then(|n| x.checked_shr(n)).unwrap_or(if x < T::ZERO { !0 } else { 0 })
            };
            if is_left { pairs(a, b, &shape, left) } else { pairs(a, b, &shape, right) }
        }, other => Err(unexpected(other)))?;
        one(narrowed(out, dtype)?)
    }))
}

/// Negative distances shift out all bits.
fn distance<T: Number>(n: T) -> u32 {
    if n < T::ZERO { u32::MAX } else { n.to_f64() as u32 }
}

fn bitwise_not() -> Kernel {
    Box::new(|call| {
        let mut x = call.take(0)?;
        with_element!(x.dtype(), [I8 U8 I16 U16 I32 U32 I64 U64], T => {
            call.reserve::<T>(x.shape())?;
            x.values_mut::<T>()?.iter_mut().for_each(|x| *x = !*x);
            one(x)
        }, other => Err(unexpected(other)))
    })
}

/// Two attributes select the detected infinities.
fn is_inf(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let negative = ctx.flag("detect_negative", true)?;
    let positive = ctx.flag("detect_positive", true)?;
    Ok(test(move |x| (positive && x == f64::INFINITY) || (negative && x == f64::NEG_INFINITY)))
}

/// A test of one float.
fn test(f: impl Fn(f64) -> bool + Send + Sync + 'static) -> Kernel {
    Box::new(move |call| {
        let x = call.tensor(0)?;
        call.reserve::<bool>(x.shape())?;
        let found = with_element!(x.dtype(), [F32 F64 F16 Bf16],
            T => x.values::<T>()?.iter().map(|x| f(x.to_f64())).collect(),
            dtype => with_element!(dtype, [F8E4M3Fn F8E4M3Fnuz F8E5M2 F8E5M2Fnuz],
                T => x.values::<T>()?.iter().map(|x| f(f64::from(x.to_f32()))).collect(),
                other => return Err(unexpected(other))));
        one(Tensor::new(x.shape(), found))
    })
}
