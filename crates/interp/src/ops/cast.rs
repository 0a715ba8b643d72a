//! Changing the element type: by value, or keeping the bits.
//!
//! Small types are converted through a wider one, so that only numbers of 8 bits and more are cast directly.

mod numbers;
mod text;

use crate::call::Call;
use crate::number::unexpected;
use crate::op::{CompileContext, Kernel, OpRow, one};
use crate::stand_in::{into_widened, with_widened};
use intact8_ir::{
    DType, Element, Error, F8E8M0, I2, I4, MiniFloat, PowerRounding, Result, Tensor, U2, U4, with_element,
};
use numbers::{Cast, cast_number};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::since(26, "BitCast", &[], bit_cast),
    OpRow::since(6, "Cast", &[], cast),
    OpRow::since(15, "CastLike", &[], cast_like),
];

fn cast(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (to, rounding) = (target(ctx)?, Rounding::read(ctx)?);
    Ok(Box::new(move |call| one(cast_to(call.take(0)?, to, rounding, call)?)))
}

fn cast_like(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let rounding = Rounding::read(ctx)?;
    Ok(Box::new(move |call| {
        let to = call.tensor(1)?.dtype();
        one(cast_to(call.take(0)?, to, rounding, call)?)
    }))
}

/// The bits of every element under another type of the same width.
fn bit_cast(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let to = target(ctx)?;
    Ok(Box::new(move |call| {
        let x = call.take(0)?;
        let from = x.dtype();
        if from == to {
            return one(x);
        }
        if from == DType::Str || bits(from) != bits(to) {
            return Err(Error::invalid_data(format!("{from} and {to} have different numbers of bits")));
        }
        call.context.reserve(2 * x.byte_size() as u64)?;
        let mut bytes = x.to_le_bytes();
        match (bits(from), to) {
            // Signed elements are sign-extended to a byte.
            (4, DType::I4) => bytes.iter_mut().for_each(|byte| *byte = ((*byte << 4) as i8 >> 4) as u8),
            (2, DType::I2) => bytes.iter_mut().for_each(|byte| *byte = ((*byte << 6) as i8 >> 6) as u8),
            (n @ (2 | 4), _) => bytes.iter_mut().for_each(|byte| *byte &= (1 << n) - 1),
            _ => {}
        }
        one(Tensor::from_le_bytes(to, x.shape(), &bytes)?)
    }))
}

fn bits(dtype: DType) -> usize {
    match dtype {
        DType::I2 | DType::U2 => 2,
        DType::I4 | DType::U4 | DType::F4E2M1 => 4,
        DType::F6E2M3 | DType::F6E3M2 => 6,
        other => 8 * other.byte_size(),
    }
}

fn target(ctx: &CompileContext<'_>) -> Result<DType> {
    ctx.dtype("to")?.ok_or_else(|| Error::invalid_model("the attribute to must name a data type"))
}

/// The conversion to small floats.
#[derive(Clone, Copy)]
struct Rounding {
    /// Whether numbers that are too large become the largest number.
    saturate: bool,
    /// The rounding to powers of two.
    power: PowerRounding,
}

impl Rounding {
    fn read(ctx: &CompileContext<'_>) -> Result<Rounding> {
        let power = match ctx.str("round_mode", "up")? {
            "up" => PowerRounding::Up,
            "down" => PowerRounding::Down,
            "nearest" => PowerRounding::Nearest,
            other => {
                return Err(Error::invalid_model(format!("round_mode {other:?} is not defined by ONNX")));
            }
        };
        Ok(Rounding { saturate: ctx.flag("saturate", true)?, power })
    }
}

/// The elements as another type, with the defaults of ONNX.
pub(super) fn converted(x: Tensor, to: DType, call: &Call<'_, '_>) -> Result<Tensor> {
    cast_to(x, to, Rounding { saturate: true, power: PowerRounding::Up }, call)
}

/// The elements as another type.
fn cast_to(x: Tensor, to: DType, rounding: Rounding, call: &Call<'_, '_>) -> Result<Tensor> {
    if x.dtype() == to {
        return Ok(x);
    }
    let again = |x| cast_to(x, to, rounding, call);
    match x.dtype() {
        DType::Bool if to == DType::Str => {
            map(&x, call, |x: &bool| if *x { "True".to_owned() } else { "False".to_owned() })
        }
        DType::Bool => again(map(&x, call, |x: &bool| u8::from(*x))?),
        DType::I4 => again(map(&x, call, |x: &I4| x.0)?),
        DType::U4 => again(map(&x, call, |x: &U4| x.0)?),
        DType::I2 => again(map(&x, call, |x: &I2| x.0)?),
        DType::U2 => again(map(&x, call, |x: &U2| x.0)?),
        DType::F8E8M0 => again(map(&x, call, |x: &F8E8M0| x.to_f32())?),
        DType::Str => again(text::parsed(&x, to, call)?),
        dtype => with_element!(dtype, [F8E4M3Fn F8E4M3Fnuz F8E5M2 F8E5M2Fnuz F6E2M3 F6E3M2 F4E2M1],
            T => again(map(&x, call, |x: &T| x.to_f32())?),
            _ => cast_numbers(x, to, rounding, call)),
    }
}

/// Converts numbers to another type; the result depends only on the number, not on its type.
fn cast_numbers(x: Tensor, to: DType, rounding: Rounding, call: &Call<'_, '_>) -> Result<Tensor> {
    if to == DType::Str {
        return text::written(&x, call);
    }
    let x = into_widened(x, call)?;
    if x.dtype() == to {
        return Ok(x);
    }
    with_widened!(x.dtype(), T => cast_from::<T>(x, to, rounding, call))
}

/// Widened numbers as another type.
fn cast_from<T: Cast>(x: Tensor, to: DType, rounding: Rounding, call: &Call<'_, '_>) -> Result<Tensor> {
    let bytes = || map(&x, call, |x: &T| cast_number::<T, i8>(*x));
    let wide = || map(&x, call, |x: &T| x.to_f64());
    match to {
        DType::Bool => map(&x, call, |x: &T| *x != T::ZERO),
        // Integers keep their low bits.
        DType::I4 => map(&bytes()?, call, |x: &i8| I4(x << 4 >> 4)),
        DType::U4 => map(&bytes()?, call, |x: &i8| U4(*x as u8 & 15)),
        DType::I2 => map(&bytes()?, call, |x: &i8| I2(x << 6 >> 6)),
        DType::U2 => map(&bytes()?, call, |x: &i8| U2(*x as u8 & 3)),
        DType::F8E8M0 => {
            map(&wide()?, call, |x: &f64| F8E8M0::from_f64(*x, rounding.power, rounding.saturate))
        }
        dtype => with_element!(dtype, [F8E4M3Fn F8E4M3Fnuz F8E5M2 F8E5M2Fnuz F6E2M3 F6E3M2 F4E2M1],
            B => map(&wide()?, call, |x: &f64| B::from_f64(*x, rounding.saturate)),
            dtype => with_element!(dtype, [F32 F64 F16 Bf16 I8 U8 I16 U16 I32 U32 I64 U64],
                B => map(&x, call, |x: &T| cast_number::<T, B>(*x)),
                other => Err(unexpected(other)))),
    }
}

/// A function of every element.
fn map<A: Element, B: Element>(x: &Tensor, call: &Call<'_, '_>, f: impl Fn(&A) -> B) -> Result<Tensor> {
    call.reserve::<B>(x.shape())?;
    Ok(Tensor::new(x.shape(), x.values::<A>()?.iter().map(f).collect()))
}
