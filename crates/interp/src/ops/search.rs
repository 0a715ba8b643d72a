//! Searching elements: extremes, nonzero elements, and unique elements.

mod unique;

use crate::axes::{self, Along};
use crate::indices::integer;
use crate::number::{NUMBERS, Number, by_value};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, Outputs, one};
use crate::stand_in::{narrowed, widened, with_widened};
use intact8_ir::{Error, Result, Tensor, with_element};
use std::cmp::Ordering;

pub(super) static ROWS: &[OpRow] = &[
    OpRow {
        name: "ArgMax",
        opsets: 1..=NEWEST,
        types: NUMBERS,
        compile: |ctx| extreme(ctx, Ordering::Greater),
    },
    OpRow { name: "ArgMin", opsets: 1..=NEWEST, types: NUMBERS, compile: |ctx| extreme(ctx, Ordering::Less) },
    OpRow { name: "NonZero", opsets: 9..=NEWEST, types: &[], compile: non_zero },
    OpRow { name: "TopK", opsets: 1..=NEWEST, types: NUMBERS, compile: top_k },
    OpRow { name: "Unique", opsets: 11..=NEWEST, types: unique::TYPES, compile: unique::unique },
];

/// The index along an axis of the element that is `better` than all others; as in NumPy, NaN is better than numbers.
fn extreme(ctx: &CompileContext<'_>, better: Ordering) -> Result<Kernel> {
    let (axis, keep) = (ctx.int("axis", 0)?, ctx.flag("keepdims", true)?);
    let last = ctx.flag("select_last_index", false)?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let axis = axes::axis(axis, x.shape().len())?;
        let along = Along::of(x.shape(), axis);
        let mut shape = x.shape().to_vec();
        shape[axis] = 1;
        let mut out = call.zeros::<i64>(&shape)?;
        if along.len == 0 && !out.is_empty() {
            let message = format!("axis {axis} of shape {:?} is empty", x.shape());
            return Err(Error::invalid_data(message));
        }
        let x = widened(x, call)?;
        with_widened!(x.dtype(), T => {
            let beats = |a: T, b: T| match a.partial_cmp(&b) {
                Some(ordering) => ordering == better || (last && ordering == Ordering::Equal),
                None => a.is_nan() && (last || !b.is_nan()),
            };
            choose(x.values::<T>()?, along, beats, &mut out);
            Ok(())
        })?;
        if !keep {
            shape.remove(axis);
        }
        one(Tensor::new(&shape, out))
    }))
}

fn choose<T: Number>(values: &[T], along: Along, beats: impl Fn(T, T) -> bool, out: &mut [i64]) {
    let Along { len, inner, .. } = along;
    if inner == 1 {
        for (lane, out) in values.chunks_exact(len.max(1)).zip(out) {
            let mut best = lane[0];
            for (idx, &value) in lane.iter().enumerate().skip(1) {
                if beats(value, best) {
                    (best, *out) = (value, idx as i64);
                }
            }
        }
        return;
    }
    for (block, out) in values.chunks_exact((len * inner).max(1)).zip(out.chunks_exact_mut(inner.max(1))) {
        let mut best = block[..inner].to_vec();
        for (idx, row) in block.chunks_exact(inner).enumerate().skip(1) {
            for ((&value, best), out) in row.iter().zip(&mut best).zip(&mut *out) {
                if beats(value, *best) {
                    (*best, *out) = (value, idx as i64);
                }
            }
        }
    }
}

/// The coordinates of all elements that are not zero, false or empty, in one column for each element.
fn non_zero(_: &CompileContext<'_>) -> Result<Kernel> {
    Ok(Box::new(|call| {
        let x = call.tensor(0)?;
        let shape = x.shape();
        let found_at = with_element!(x.dtype(), T => {
            let zero = T::default();
            let values = x.values::<T>()?;
            call.reserve::<i64>(&[values.iter().filter(|value| **value != zero).count(), shape.len() + 1])?;
            let found = values.iter().enumerate().filter(|(_, value)| **value != zero);
            found.map(|(idx, _)| idx).collect::<Vec<usize>>()
        });
        let mut out = vec![0i64; shape.len() * found_at.len()];
        for (column, &index) in found_at.iter().enumerate() {
            let mut rest = index;
            for (axis, &dim) in shape.iter().enumerate().rev() {
                out[axis * found_at.len() + column] = (rest % dim) as i64;
                rest /= dim;
            }
        }
        one(Tensor::new(&[shape.len(), found_at.len()], out))
    }))
}

/// The largest or smallest elements along an axis, always sorted; equal ones in their original order.
fn top_k(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (axis, largest, attr) = (ctx.int("axis", -1)?, ctx.flag("largest", true)?, ctx.op.int("k")?);
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let k = match attr {
            Some(k) => k,
            None => integer(call.tensor(1)?)?,
        };
        let axis = axes::axis(axis, x.shape().len())?;
        let along = Along::of(x.shape(), axis);
        let k = usize::try_from(k).ok().filter(|&k| k <= along.len).ok_or_else(|| {
            Error::invalid_data(format!("axis {axis} of shape {:?} does not have {k} elements", x.shape()))
        })?;
        let mut shape = x.shape().to_vec();
        shape[axis] = k;
        let mut indices = call.zeros::<i64>(&shape)?;
        let wide = widened(x, call)?;
        let values = with_widened!(wide.dtype(), T => {
            let mut values = call.zeros::<T>(&shape)?;
            if !values.is_empty() {
                top(wide.values::<T>()?, along, k, largest, &mut values, &mut indices);
            }
            Ok(Tensor::new(&shape, values))
        })?;
        let values = narrowed(values, x.dtype())?;
        Ok(Outputs::from_iter([values.into(), Tensor::new(&shape, indices).into()]))
    }))
}

fn top<T: Number>(x: &[T], along: Along, k: usize, largest: bool, values: &mut [T], indices: &mut [i64]) {
    let Along { len, inner, .. } = along;
    let mut lane: Vec<(T, usize)> = Vec::with_capacity(len);
    let order = |(a, a_at): &(T, usize), (b, b_at): &(T, usize)| {
        let by_value = if largest { by_value(b, a) } else { by_value(a, b) };
        by_value.then(a_at.cmp(b_at))
    };
    for (outer, block) in x.chunks_exact(len * inner).enumerate() {
        for column in 0..inner {
            lane.clear();
            lane.extend(block[column..].iter().step_by(inner).copied().zip(0..));
            if k < len {
                lane.select_nth_unstable_by(k - 1, order);
            }
            lane[..k].sort_unstable_by(order);
            for (rank, &(value, at)) in lane[..k].iter().enumerate() {
                let to = (outer * k + rank) * inner + column;
                (values[to], indices[to]) = (value, at as i64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_sorted_after_all_numbers() {
        let x = [1.0, f32::NAN, 3.0, f32::NEG_INFINITY];
        let along = Along { outer: 1, len: 4, inner: 1 };
        let (mut values, mut indices) = ([0.0; 4], [0; 4]);
        top(&x, along, 4, true, &mut values, &mut indices);
        assert_eq!(indices, [1, 2, 0, 3]);
        top(&x, along, 4, false, &mut values, &mut indices);
        assert_eq!(indices, [3, 0, 2, 1]);
    }
}
