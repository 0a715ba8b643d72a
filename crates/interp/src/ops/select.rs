//! Elementwise selection, and variadic operators.

use super::binary::combine;
use crate::broadcast::{broadcast_shape, expand, for_each_row};
use crate::call::Call;
use crate::number::{FLOATS, NUMBERS, Number, with_number};
use crate::op::{CompileContext, Kernel, OpRow, one};
use crate::real::{Real, expect_type, into_numbers, rounded, with_real};
use crate::stand_in::{movable, restored, with_movable};
use intact8_ir::{DType, Element, Error, Result, Tensor};
use intact8_kernels::elementwise::{Binary, Unary, unary_in_place};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Clip", opsets: 6..=10, types: FLOATS, compile: clip_6 },
    OpRow::since(11, "Clip", NUMBERS, |_| Ok(clip())),
    OpRow::since(6, "Max", NUMBERS, |_| Ok(extreme(Binary::Max))),
    OpRow::since(6, "Mean", FLOATS, |_| Ok(total(true))),
    OpRow::since(6, "Min", NUMBERS, |_| Ok(extreme(Binary::Min))),
    OpRow::since(6, "Sum", FLOATS, |_| Ok(total(false))),
    OpRow::since(9, "Where", &[DType::Bool], |_| Ok(choose())),
];

/// The bounds are attributes.
fn clip_6(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (min, max) = (ctx.float("min", f32::MIN)?, ctx.float("max", f32::MAX)?);
    Ok(Box::new(move |call| {
        let x = call.take(0)?;
        with_number!(x.dtype(), T => {
            let (min, max) = (T::from_f32(min), T::from_f32(max));
            one(clipped(x, min, max, call)?)
        })
    }))
}

fn clip() -> Kernel {
    Box::new(|call| {
        let x = call.take(0)?;
        with_number!(x.dtype(), T => {
            let min = bound::<T>(call, 1)?.unwrap_or(T::LEAST);
            let max = bound::<T>(call, 2)?.unwrap_or(T::GREATEST);
            one(clipped(x, min, max, call)?)
        })
    })
}

fn bound<T: Number>(call: &Call<'_, '_>, slot: usize) -> Result<Option<T>> {
    let Some(tensor) = call.optional(slot)? else { return Ok(None) };
    match tensor.values::<T>()? {
        &[bound] => Ok(Some(bound)),
        _ => Err(Error::invalid_data(format!(
            "a bound must be one number, found the shape {:?}",
            tensor.shape()
        ))),
    }
}

/// NaN stays NaN; the result is `max` if `min > max`.
fn clipped<T: Number>(mut x: Tensor, min: T, max: T, call: &Call<'_, '_>) -> Result<Tensor> {
    call.reserve::<T>(x.shape())?;
    if x.dtype() == DType::F32 {
        let (min, max) = (min.to_f32(), max.to_f32());
        unary_in_place(Unary::Clip { min, max }, x.values_mut()?);
        return Ok(x);
    }
    for x in x.values_mut::<T>()? {
        *x = if *x < min { min } else { *x };
        *x = if *x > max { max } else { *x };
    }
    Ok(x)
}

/// The elementwise maximum or minimum; NaN if an element is NaN.
fn extreme(operation: Binary) -> Kernel {
    Box::new(move |call| {
        let first = call.take(0)?;
        one((1..call.operands.len()).try_fold(first, |all, slot| {
            let next = call.take(slot)?;
            expect_type(&next, all.dtype())?;
            combine(operation, all, next, call)
        })?)
    })
}

/// The elementwise sum or mean, in order; 16-bit floats are rounded once at the end.
fn total(is_mean: bool) -> Kernel {
    Box::new(move |call| {
        let n = call.operands.len();
        let first = call.take(0)?;
        let dtype = first.dtype();
        with_real!(dtype, R => {
            let sum = (1..n).try_fold(widened::<R>(first, dtype)?, |sum, slot| {
                combine(Binary::Add, sum, widened::<R>(call.take(slot)?, dtype)?, call)
            })?;
            let shape = sum.shape().to_vec();
            let mut sum = sum.into_values::<R>()?;
            if is_mean {
                let n = R::from_f64(n as f64);
                sum.iter_mut().for_each(|x| *x = x.div(n));
            }
            call.reserve::<R>(&shape)?;
            one(rounded(dtype, &shape, sum)?)
        })
    })
}

/// The elements in the type of computation.
fn widened<R: Real>(x: Tensor, dtype: DType) -> Result<Tensor> {
    expect_type(&x, dtype)?;
    if dtype == R::DTYPE {
        return Ok(x);
    }
    let shape = x.shape().to_vec();
    Ok(Tensor::new(&shape, into_numbers::<R>(x)?))
}

/// The second operand where the first is true, otherwise the third.
fn choose() -> Kernel {
    Box::new(|call| {
        let (condition, x, y) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
        let shape = broadcast_shape(&[condition.shape(), x.shape(), y.shape()])?;
        let condition = (condition.values()?, condition.shape());
        expect_type(y, x.dtype())?;
        let (dtype, x, y) = (x.dtype(), movable(x, call)?, movable(y, call)?);
        let out = with_movable!(x.dtype(), T => {
            call.reserve::<T>(&shape)?;
            let (x, y) = ((x.values::<T>()?, x.shape()), (y.values::<T>()?, y.shape()));
            Ok(Tensor::new(&shape, chosen(condition, x, y, &shape)))
        })?;
        one(restored(out, dtype)?)
    })
}

fn chosen<T: Element>(
    (condition, condition_shape): (&[bool], &[usize]),
    (x, x_shape): (&[T], &[usize]),
    (y, y_shape): (&[T], &[usize]),
    shape: &[usize],
) -> Vec<T> {
    if let &[condition] = condition {
        let (values, own) = if condition { (x, x_shape) } else { (y, y_shape) };
        return expand(values, own, shape);
    }
    let mut out = Vec::with_capacity(shape.iter().product());
    let shapes = [condition_shape, x_shape, y_shape];
    for_each_row(shapes, shape, |[c_at, x_at, y_at], [c_step, x_step, y_step], n| {
        if c_step == 0 {
            let (values, at, step) = if condition[c_at] { (x, x_at, x_step) } else { (y, y_at, y_step) };
            out.extend((0..n).map(|i| values[at + i * step].clone()));
            return;
        }
        let conditions = &condition[c_at..c_at + n];
        let pick = |x: &T, y: &T, condition: bool| if condition { x.clone() } else { y.clone() };
        match (x_step, y_step) {
            (1, 1) => {
                let pairs = x[x_at..x_at + n].iter().zip(&y[y_at..y_at + n]);
                out.extend(pairs.zip(conditions).map(|((x, y), c)| pick(x, y, *c)));
            }
            (1, _) => {
                out.extend(x[x_at..x_at + n].iter().zip(conditions).map(|(x, c)| pick(x, &y[y_at], *c)))
            }
            (_, 1) => {
                out.extend(y[y_at..y_at + n].iter().zip(conditions).map(|(y, c)| pick(&x[x_at], y, *c)))
            }
            _ => out.extend(conditions.iter().map(|c| pick(&x[x_at], &y[y_at], *c))),
        }
    });
    out
}
