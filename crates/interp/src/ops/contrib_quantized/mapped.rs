//! Functions of one quantized operand by tables of 256 bytes, and softmax.

use super::super::concat::join;
use super::super::contrib_fused::part::{OPSET, part, run, run_with};
use super::coding::{Byte, Coding, Table, nearest};
use crate::call::Call;
use crate::number::unexpected;
use crate::op::{CompileContext, Kernel, one};
use crate::real::expect_type;
use intact8_ir::{Attr, Error, Op, Result, Tensor, with_element};
use intact8_kernels::quantize::Integer;

pub(super) fn leaky_relu(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let slope = ctx.float("alpha", 0.01)?;
    Ok(function(move |x| if x >= 0.0 { x } else { slope * x }))
}

pub(super) fn sigmoid() -> Kernel {
    function(|x| (1.0 / (1.0 + f64::from(-x).exp())) as f32)
}

/// A function of every element: operands are bytes, their scale and zero point, and those of the result.
fn function(f: impl Fn(f32) -> f32 + Send + Sync + 'static) -> Kernel {
    Box::new(move |call| {
        let x = call.take(0)?;
        with_element!(x.dtype(), [I8 U8], T => {
            let (from, to) = (Coding::<T>::read(call, 1, 2)?, Coding::<T>::read(call, 3, 4)?);
            one(mapped(x, &table(from, to, &f), call)?)
        }, other => Err(unexpected(other)))
    })
}

fn table<T: Byte>(from: Coding<T>, to: Coding<T>, f: impl Fn(f32) -> f32) -> Table<T> {
    Table::of(|byte: T| {
        let mut out = [T::default()];
        to.bytes(&[f(from.number(byte))], &mut out);
        out[0]
    })
}

fn mapped<T: Byte>(mut x: Tensor, table: &Table<T>, call: &Call<'_, '_>) -> Result<Tensor> {
    call.reserve::<T>(x.shape())?;
    x.values_mut::<T>()?.iter_mut().for_each(|x| *x = table.at(*x));
    Ok(x)
}

/// Requantizes bytes from one scale and zero point to others.
fn recoded<T: Byte>(x: Tensor, from: Coding<T>, to: Coding<T>, call: &Call<'_, '_>) -> Result<Tensor> {
    expect_type(&x, T::DTYPE)?;
    if from.scale == to.scale && from.zero.to_i32() == to.zero.to_i32() {
        return Ok(x);
    }
    mapped(x, &table(from, to, |x| x), call)
}

/// Operands are the scale and the zero point of the result, then each tensor with its scale and zero point.
pub(super) fn concat(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let axis = ctx.op.int("axis")?.ok_or_else(|| Error::invalid_model("the attribute axis is missing"))?;
    let n_tensors = ctx.operands.len().saturating_sub(2) / 3;
    Ok(Box::new(move |call| {
        with_element!(call.tensor(1)?.dtype(), [I8 U8], T => {
            let to = Coding::<T>::read(call, 0, 1)?;
            let tensor = |idx: usize| {
                let slot = 2 + 3 * idx;
                let from = Coding::<T>::read(call, slot + 1, slot + 2)?;
                let x = call.take(slot)?;
                recoded(x, from, to, call)
            };
            let tensors: Vec<Tensor> = (0..n_tensors).map(tensor).collect::<Result<_>>()?;
            one(join(&tensors.iter().collect::<Vec<_>>(), axis, call)?)
        }, other => Err(unexpected(other)))
    }))
}

/// Operands are the condition, two tensors with their scales and zero points, and those of the result.
pub(super) fn choose(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let choose = part(ctx, &Op::new("Where"), OPSET, &[Some(0), None, None])?;
    Ok(Box::new(move |call| {
        with_element!(call.tensor(1)?.dtype(), [I8 U8], T => {
            let [x_coding, y_coding] = [Coding::<T>::read(call, 2, 3)?, Coding::<T>::read(call, 5, 6)?];
            let to = Coding::<T>::read(call, 7, 8)?;
            let (x, y) = (call.take(1)?, call.take(4)?);
            let (x, y) = (recoded(x, x_coding, to, call)?, recoded(y, y_coding, to, call)?);
            (call.operands[1], call.operands[4]) = (Some(x.into()), Some(y.into()));
            let condition = call.take(0)?;
            run_with(&choose, condition, &[1, 4], call)
        }, other => Err(unexpected(other)))
    }))
}

/// Probabilities in steps of `1 / ⌊1 / y scale⌋`, as in ONNX Runtime.
pub(super) fn softmax(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let opset = ctx.op.int("opset")?.ok_or_else(|| Error::invalid_model("the attribute opset is missing"))?;
    let axis = ctx.int("axis", if opset < 13 { 1 } else { -1 })?;
    let opset = if opset < 13 { 12 } else { OPSET };
    let softmax = part(ctx, &Op::new("Softmax").with("axis", Attr::Int(axis)), opset, &[None])?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let shape = x.shape().to_vec();
        with_element!(x.dtype(), [I8 U8], T => {
            let (from, to) = (Coding::<T>::read(call, 1, 2)?, Coding::<T>::read(call, 3, 4)?);
            let mut out = call.zeros::<T>(&shape)?;
            call.reserve::<[f64; 2]>(&shape)?;
            let number = |byte: &T| f64::from(byte.to_i32()) * f64::from(from.scale);
            let x = Tensor::new(&shape, x.values::<T>()?.iter().map(number).collect());
            let probabilities = run(&softmax, x, call)?;
            let (n_steps, zero) = (f64::from((1.0 / to.scale).floor()), to.zero.to_i32() as f32);
            let step = |p: f64| ((p * n_steps).round_ties_even()) as f32 + zero;
            let numbers = probabilities.values::<f64>()?.iter();
            out.iter_mut().zip(numbers).for_each(|(out, p)| *out = nearest(step(*p)));
            one(Tensor::new(&shape, out))
        }, other => Err(unexpected(other)))
    }))
}
