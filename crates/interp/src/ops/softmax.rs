//! Softmax, LogSoftmax and Hardmax.

use crate::axes::{Along, axis};
use crate::number::{FLOATS, Number, with_float};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use crate::real::{Real, into_numbers, numbers, rounded, with_real};
use intact8_ir::{Result, Tensor};
use intact8_kernels::softmax as fast;
use intact8_kernels::transpose::transpose;

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Hardmax", opsets: 1..=NEWEST, types: FLOATS, compile: hardmax },
    OpRow { name: "LogSoftmax", opsets: 1..=NEWEST, types: FLOATS, compile: |ctx| softmax(ctx, true) },
    OpRow { name: "Softmax", opsets: 1..=NEWEST, types: FLOATS, compile: |ctx| softmax(ctx, false) },
];

fn softmax(ctx: &CompileContext<'_>, logarithm: bool) -> Result<Kernel> {
    let normalized = Normalized::read(ctx)?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let (dtype, shape) = (x.dtype(), x.shape().to_vec());
        let along = normalized.over(&shape)?;
        with_real!(dtype, R => {
            if along.inner == 1 && !x.is_empty() {
                let mut out = call.zeros::<R>(&shape)?;
                R::softmax_rows(logarithm, along.len, &numbers::<R>(x, dtype)?, &mut out);
                return one(rounded(dtype, &shape, out)?);
            }
            let x = call.take(0)?;
            call.reserve::<R>(&shape)?;
            one(rounded(dtype, &shape, softmax_along::<R>(logarithm, along, into_numbers(x)?))?)
        })
    }))
}

/// 1 at the first largest element, otherwise 0.
fn hardmax(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let normalized = Normalized::read(ctx)?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let Along { len, inner, .. } = normalized.over(x.shape())?;
        with_float!(x.dtype(), T => {
            let mut out = call.zeros::<T>(x.shape())?;
            let block = (len * inner).max(1);
            for (x, out) in x.values::<T>()?.chunks_exact(block).zip(out.chunks_exact_mut(block)) {
                for first in 0..inner {
                    let elements = (first..block).step_by(inner);
                    let largest = elements.reduce(|best, at| if x[at] > x[best] { at } else { best });
                    largest.into_iter().for_each(|at| out[at] = T::ONE);
                }
            }
            one(Tensor::new(x.shape(), out))
        })
    }))
}

/// The elements that are normalized together.
enum Normalized {
    /// The elements along the axis.
    Along(i64),
    /// Before opset 13, the elements of all dimensions from the axis on.
    From(i64),
}

impl Normalized {
    fn read(ctx: &CompileContext<'_>) -> Result<Normalized> {
        Ok(match ctx.opset {
            ..13 => Normalized::From(ctx.int("axis", 1)?),
            _ => Normalized::Along(ctx.int("axis", -1)?),
        })
    }

    fn over(&self, shape: &[usize]) -> Result<Along> {
        match self {
            Normalized::Along(at) => Ok(Along::of(shape, axis(*at, shape.len())?)),
            Normalized::From(at) => {
                let (outer, len) = shape.split_at(axis(*at, shape.len())?);
                Ok(Along { outer: outer.iter().product(), len: len.iter().product(), inner: 1 })
            }
        }
    }
}

/// Softmax along an axis, or its logarithm.
pub(super) fn softmax_along<R: SoftmaxRows>(logarithm: bool, along: Along, mut x: Vec<R>) -> Vec<R> {
    let Along { len, inner, .. } = along;
    let mut out = vec![R::ZERO; x.len()];
    if out.is_empty() {
        return out;
    }
    if inner == 1 {
        R::softmax_rows(logarithm, len, &x, &mut out);
        return out;
    }
    // The axis is transposed to the end, and back.
    for (x, out) in x.chunks_exact_mut(len * inner).zip(out.chunks_exact_mut(len * inner)) {
        transpose(x, len, inner, out);
        R::softmax_rows(logarithm, len, out, x);
        transpose(x, inner, len, out);
    }
    out
}

/// A type with a softmax of rows.
pub(super) trait SoftmaxRows: Real {
    fn softmax_rows(logarithm: bool, row_len: usize, x: &[Self], out: &mut [Self]);
}

impl SoftmaxRows for f32 {
    fn softmax_rows(logarithm: bool, row_len: usize, x: &[f32], out: &mut [f32]) {
        match logarithm {
            true => fast::log_softmax(row_len, x, out),
            false => fast::softmax(row_len, x, out),
        }
    }
}

impl SoftmaxRows for f64 {
    fn softmax_rows(logarithm: bool, row_len: usize, x: &[f64], out: &mut [f64]) {
        for (x, out) in x.chunks_exact(row_len).zip(out.chunks_exact_mut(row_len)) {
            let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = x.iter().map(|x| (x - max).exp()).sum();
            let log_sum = sum.ln();
            for (y, x) in out.iter_mut().zip(x) {
                *y = if logarithm { x - max - log_sum } else { (x - max).exp() / sum };
            }
        }
    }
}
