//! Activation functions.

use super::binary::pairs;
use super::unary::{each, fast};
use crate::broadcast::broadcast_shape;
use crate::floats::{PIECE, map_floats};
use crate::number::{FLOATS, NUMBERS, Number, with_number};
use crate::op::{CompileContext, Kernel, OpRow, one};
use crate::real::{expect_type, into_numbers, rounded};
use crate::stand_in::{both_widened, narrowed, with_widened};
use intact8_ir::{DType, Error, Result};
use intact8_kernels::elementwise::{Binary, Operand, Unary, binary_in_place, unary_in_place};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::since(12, "Celu", FLOATS, celu),
    OpRow::since(6, "Elu", FLOATS, elu),
    OpRow::since(20, "Gelu", FLOATS, gelu),
    OpRow::since(6, "HardSigmoid", FLOATS, hard_sigmoid),
    OpRow::since(14, "HardSwish", FLOATS, |_| {
        Ok(fast(Unary::HardSwish, |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)))
    }),
    OpRow::since(6, "LeakyRelu", FLOATS, leaky_relu),
    OpRow::since(18, "Mish", FLOATS, |_| Ok(mish())),
    OpRow::since(7, "PRelu", NUMBERS, |_| Ok(p_relu())),
    OpRow::since(6, "Relu", NUMBERS, |_| Ok(relu())),
    OpRow::since(6, "Selu", FLOATS, selu),
    OpRow::since(9, "Shrink", NUMBERS, shrink),
    OpRow::since(6, "Sigmoid", FLOATS, |_| Ok(fast(Unary::Sigmoid, sigmoid))),
    OpRow::since(1, "Softplus", FLOATS, |_| Ok(fast(Unary::Softplus, softplus))),
    OpRow::since(1, "Softsign", FLOATS, |_| Ok(each(|x| x / (1.0 + x.abs()), |x| x / (1.0 + x.abs())))),
    OpRow::since(28, "SwiGLU", FLOATS, swi_glu),
    OpRow::since(24, "Swish", FLOATS, swish),
    OpRow::since(10, "ThresholdedRelu", FLOATS, thresholded_relu),
];

/// `max(0, x) + min(0, alpha·(e^(x/alpha) - 1))`, of which one term is always 0.
fn celu(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let alpha = ctx.float("alpha", 1.0)?;
    let wide = f64::from(alpha);
    Ok(each(
        move |x| if x > 0.0 { x } else { alpha * (x / alpha).exp_m1() },
        move |x| if x > 0.0 { x } else { wide * (x / wide).exp_m1() },
    ))
}

fn elu(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let alpha = ctx.float("alpha", 1.0)?;
    let wide = f64::from(alpha);
    Ok(fast(Unary::Elu { alpha }, move |x| if x < 0.0 { wide * x.exp_m1() } else { x }))
}

/// `x·Φ(x)` with the distribution function Φ of the normal distribution, or an approximation of it.
pub(super) fn gelu(ctx: &CompileContext<'_>) -> Result<Kernel> {
    match ctx.str("approximate", "none")? {
        "none" => Ok(fast(Unary::Gelu, |x| 0.5 * x * (1.0 + libm::erf(x * FRAC_1_SQRT_2)))),
        "tanh" => Ok(gelu_by_tanh()),
        other => Err(Error::invalid_model(format!("approximate must be none or tanh, found {other:?}"))),
    }
}

/// `x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`
pub(super) fn gelu_by_tanh() -> Kernel {
    const ROOT: f64 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
    let single = |x: &mut [f32], scratch: &mut [f32]| {
        scratch.iter_mut().zip(&*x).for_each(|(t, x)| *t = ROOT as f32 * (x + 0.044_715 * x * x * x));
        unary_in_place(Unary::Tanh, scratch);
        x.iter_mut().zip(&*scratch).for_each(|(x, t)| *x *= 0.5 * (1.0 + t));
    };
    Box::new(move |call| {
        map_floats(call, with_scratch(single), |x| {
            0.5 * x * (1.0 + (ROOT * (x + 0.044_715 * x * x * x)).tanh())
        })
    })
}

fn hard_sigmoid(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (slope, offset) = (ctx.float("alpha", 0.2)?, ctx.float("beta", 0.5)?);
    let wide = [slope, offset].map(f64::from);
    Ok(fast(Unary::HardSigmoid { slope, offset }, move |x| (wide[0] * x + wide[1]).clamp(0.0, 1.0)))
}

fn leaky_relu(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let slope = ctx.float("alpha", 0.01)?;
    Ok(fast(Unary::LeakyRelu { slope }, move |x| if x < 0.0 { f64::from(slope) * x } else { x }))
}

/// `x·tanh(log(1 + e^x))`
fn mish() -> Kernel {
    let single = |x: &mut [f32], scratch: &mut [f32]| {
        scratch.copy_from_slice(x);
        unary_in_place(Unary::Softplus, scratch);
        unary_in_place(Unary::Tanh, scratch);
        binary_in_place(Binary::Mul, x, Operand::Slice(scratch));
    };
    Box::new(move |call| map_floats(call, with_scratch(single), |x| x * softplus(x).tanh()))
}

/// `x` if it is not negative, else `slope·x`; the slope broadcasts to `x`.
fn p_relu() -> Kernel {
    Box::new(|call| {
        let (x, slope) = (call.take(0)?, call.take(1)?);
        let shape = x.shape().to_vec();
        if broadcast_shape(&[&shape, slope.shape()])? != shape {
            let message = format!("slopes of shape {:?} do not broadcast to {shape:?}", slope.shape());
            return Err(Error::invalid_data(message));
        }
        let dtype = x.dtype();
        let (x, slope) = both_widened(x, slope, call)?;
        let out = with_widened!(x.dtype(), T => {
            call.reserve::<T>(&shape)?;
            pairs(x, slope, &shape, |x: T, slope| if x < T::ZERO { x.mul(slope) } else { x })
        })?;
        one(narrowed(out, dtype)?)
    })
}

/// The result of NaN is NaN.
fn relu() -> Kernel {
    Box::new(|call| {
        let mut x = call.take(0)?;
        call.context.reserve(x.byte_size() as u64)?;
        if x.dtype() == DType::F32 {
            unary_in_place(Unary::Relu, x.values_mut()?);
            return one(x);
        }
        with_number!(x.dtype(), T => {
            x.values_mut::<T>()?.iter_mut().for_each(|x| if *x < T::ZERO { *x = T::ZERO });
            one(x)
        })
    })
}

/// `gamma·x` if it is positive, else `gamma·alpha·(e^x - 1)`.
fn selu(ctx: &CompileContext<'_>) -> Result<Kernel> {
    // The constants of the defining paper, as f32.
    let (alpha, gamma) = (ctx.float("alpha", 1.673_263_2)?, ctx.float("gamma", 1.050_701)?);
    let single = move |x: &mut [f32]| {
        unary_in_place(Unary::Elu { alpha }, x);
        binary_in_place(Binary::Mul, x, Operand::Scalar(gamma));
    };
    let wide = [alpha, gamma].map(f64::from);
    Ok(Box::new(move |call| {
        map_floats(call, single, |x| wide[1] * if x < 0.0 { wide[0] * x.exp_m1() } else { x })
    }))
}

/// `x` moved towards zero by `bias`, and zero for `|x| <= lambd`.
fn shrink(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let [bias, lambd] = [ctx.float("bias", 0.0)?, ctx.float("lambd", 0.5)?].map(f64::from);
    Ok(Box::new(move |call| {
        let mut x = call.take(0)?;
        with_number!(x.dtype(), T => {
            call.reserve::<T>(x.shape())?;
            for x in x.values_mut::<T>()? {
                *x = match x.to_f64() {
                    wide if wide < -lambd => T::from_f64(wide + bias),
                    wide if wide > lambd => T::from_f64(wide - bias),
                    _ => T::ZERO,
                };
            }
            one(x)
        })
    }))
}

fn sigmoid(x: f64) -> f64 {
    let power = (-x.abs()).exp();
    if x < 0.0 { power / (1.0 + power) } else { 1.0 / (1.0 + power) }
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `swish(a)·b` of two tensors of one shape.
fn swi_glu(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let alpha = ctx.float("alpha", 1.0)?;
    Ok(Box::new(move |call| {
        let (a, b) = (call.take(0)?, call.take(1)?);
        if a.shape() != b.shape() {
            let message = format!("the shapes {:?} and {:?} must be equal", a.shape(), b.shape());
            return Err(Error::invalid_data(message));
        }
        expect_type(&b, a.dtype())?;
        let (dtype, shape) = (a.dtype(), a.shape().to_vec());
        call.reserve::<f64>(&shape)?;
        if dtype == DType::F64 {
            let (mut a, b) = (a.into_values::<f64>()?, b.values::<f64>()?);
            a.iter_mut().zip(b).for_each(|(a, b)| *a *= sigmoid(f64::from(alpha) * *a) * b);
            return rounded(dtype, &shape, a).and_then(one);
        }
        let (mut a, b) = (into_numbers::<f32>(a)?, into_numbers::<f32>(b)?);
        swish_in_place(alpha, &mut a);
        binary_in_place(Binary::Mul, &mut a, Operand::Slice(&b));
        one(rounded(dtype, &shape, a)?)
    }))
}

/// `x / (1 + e^(-alpha·x))`
fn swish(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let alpha = ctx.float("alpha", 1.0)?;
    Ok(swish_by(alpha))
}

pub(super) fn swish_by(alpha: f32) -> Kernel {
    Box::new(move |call| {
        map_floats(call, |x| swish_in_place(alpha, x), |x| x * sigmoid(f64::from(alpha) * x))
    })
}

fn swish_in_place(alpha: f32, x: &mut [f32]) {
    if alpha == 1.0 {
        return unary_in_place(Unary::Silu, x);
    }
    with_scratch(|x, scratch| {
        scratch.iter_mut().zip(&*x).for_each(|(s, x)| *s = alpha * x);
        unary_in_place(Unary::Sigmoid, scratch);
        binary_in_place(Binary::Mul, x, Operand::Slice(scratch));
    })(x);
}

fn thresholded_relu(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let alpha = ctx.float("alpha", 1.0)?;
    Ok(each(move |x| if x > alpha { x } else { 0.0 }, move |x| if x > f64::from(alpha) { x } else { 0.0 }))
}

/// A function on pieces of a slice that needs a temporary copy of each piece.
fn with_scratch(f: impl Fn(&mut [f32], &mut [f32])) -> impl Fn(&mut [f32]) {
    move |values| {
        let mut scratch = vec![0.0; values.len().min(PIECE)];
        for piece in values.chunks_mut(PIECE) {
            f(piece, &mut scratch[..piece.len()]);
        }
    }
}
