//! The operators of lowered models, which no file has: see `lower.rs`.

mod blocked;
pub(crate) mod chain;
mod float_product;
mod pool;
mod product;
mod sum;
mod table;

use super::requantize::only;
use crate::broadcast::{broadcast_shape, zip};
use crate::call::Call;
use crate::op::{CompileContext, OpRow, Outputs, one};
use intact8_ir::{DType, Error, Op, Result, Tensor};
use intact8_kernels::conv_bytes::{Levels, Output};
use intact8_kernels::elementwise::{Unary, unary_in_place};
use intact8_kernels::quantize::Quantized;

static ROWS: &[&[OpRow]] =
    &[blocked::ROWS, chain::ROWS, float_product::ROWS, pool::ROWS, product::ROWS, sum::ROWS, table::ROWS];

/// The row of an operator.
pub(crate) fn find(op: &Op) -> Result<&'static OpRow> {
    let mut rows = ROWS.iter().flat_map(|rows| rows.iter());
    rows.find(|row| row.name == op.name)
        .ok_or_else(|| Error::unsupported(format!("no kernel for the lowered operator {}", op.name)))
}

/// The scale and zero point of all elements of an operand or result.
#[derive(Clone, Copy)]
struct Coding {
    scale: f32,
    zero: i32,
    dtype: DType,
}

impl Coding {
    /// Of constants in two slots; without a zero point it is 0, and the type is `dtype`.
    fn read(ctx: &CompileContext<'_>, scale: usize, zero: usize, dtype: DType) -> Result<Coding> {
        let scale = only("scale", constant(ctx, scale)?.values::<f32>()?)?;
        let Some(tensor) = ctx.constant(zero) else { return Ok(Coding { scale, zero: 0, dtype }) };
        let zero = only("zero point", &super::requantize::zero_points(tensor, tensor.dtype())?)?;
        Ok(Coding { scale, zero, dtype: tensor.dtype() })
    }

    /// The integers of a result, within the attributes `low` and `high`.
    fn levels<T: Quantized + TryFrom<i32>>(&self, ctx: &CompileContext<'_>) -> Result<Levels<T>> {
        let number = |number: f64| T::from_i32(number.clamp(T::MIN.into(), T::MAX.into()) as i32);
        let bound = |name: &str, default: i32| -> Result<T> {
            let bound = ctx.op.float(name)?;
            let steps = |bound: f32| f64::from((bound / self.scale).round_ties_even()) + f64::from(self.zero);
            Ok(number(bound.map_or(default.into(), steps)))
        };
        let (min, max) = (bound("low", T::MIN)?, bound("high", T::MAX)?);
        let zero_point = number(self.zero.into());
        // A Clip whose bounds are in the wrong order returns the greater one.
        let min = if min.to_i32() > max.to_i32() { max } else { min };
        Ok(Levels { zero_point, min, max })
    }
}

/// The type of the results of a kernel, and how bytes are made.
enum ResultType {
    U8(Levels<u8>),
    I8(Levels<i8>),
    F32,
}

impl ResultType {
    /// That of the coding in two slots, with its scale; floats with a scale of 1 without one.
    fn read(ctx: &CompileContext<'_>, scale: usize, zero: usize) -> Result<(ResultType, f32)> {
        if !ctx.has_operand(scale) {
            return Ok((ResultType::F32, 1.0));
        }
        let coding = Coding::read(ctx, scale, zero, DType::U8)?;
        let result = match coding.dtype {
            DType::I8 => ResultType::I8(coding.levels(ctx)?),
            _ => ResultType::U8(coding.levels(ctx)?),
        };
        Ok((result, coding.scale))
    }

    /// A tensor of results, which `compute` writes.
    fn write(
        &self,
        call: &Call<'_, '_>,
        shape: &[usize],
        compute: impl FnOnce(Output<'_>) -> Result<()>,
    ) -> Result<Outputs> {
        match self {
            ResultType::U8(levels) => {
                let mut out = call.unset::<u8>(shape)?;
                compute(Output::U8(&mut out, *levels))?;
                one(Tensor::new(shape, out))
            }
            ResultType::I8(levels) => {
                let mut out = call.unset::<i8>(shape)?;
                compute(Output::I8(&mut out, *levels))?;
                one(Tensor::new(shape, out))
            }
            ResultType::F32 => {
                let mut out = call.unset::<f32>(shape)?;
                compute(Output::F32(&mut out))?;
                one(Tensor::new(shape, out))
            }
        }
    }
}

/// A constant operand; lowering merges nothing else.
fn constant<'a>(ctx: &CompileContext<'a>, slot: usize) -> Result<&'a Tensor> {
    ctx.constant(slot).ok_or_else(|| Error::invalid_model(format!("operand {slot} must be constant")))
}

/// The attribute `activation`, with its parameters `alpha` and `beta`.
fn activation(ctx: &CompileContext<'_>) -> Result<Option<Unary>> {
    let (alpha, beta) = (ctx.float("alpha", 0.0)?, ctx.float("beta", 0.0)?);
    Ok(Some(match ctx.str("activation", "")? {
        "" => return Ok(None),
        "Relu" => Unary::Relu,
        "Sigmoid" => Unary::Sigmoid,
        "Silu" => Unary::Silu,
        "Tanh" => Unary::Tanh,
        "HardSwish" => Unary::HardSwish,
        "LeakyRelu" => Unary::LeakyRelu { slope: alpha },
        "HardSigmoid" => Unary::HardSigmoid { slope: alpha, offset: beta },
        "Clip" => Unary::Clip { min: alpha, max: beta },
        other => return Err(Error::invalid_model(format!("{other:?} is not an activation"))),
    }))
}

/// `activation(products + summand)` for a summand of another shape, which is broadcast, or to whose shape the products are.
fn add_broadcast(
    call: &Call<'_, '_>,
    (products, shape): (&[f32], &[usize]),
    summand: &Tensor,
    activation: Option<Unary>,
) -> Result<Outputs> {
    let whole = broadcast_shape(&[shape, summand.shape()])?;
    call.reserve::<f32>(&whole)?;
    let mut out =
        zip((products, shape), (summand.values()?, summand.shape()), &whole, |a: &f32, b: &f32| a + b);
    if let Some(function) = activation {
        unary_in_place(function, &mut out);
    }
    one(Tensor::new(&whole, out))
}
