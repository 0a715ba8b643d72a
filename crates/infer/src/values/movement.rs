//! Folds that only move elements.

use super::{Output, elements};
use crate::fact::{Elements, MAX_ELEMENTS};
use crate::inference_context::{InferenceContext, axis};
use crate::number::Number;
use crate::ops::join::split_lengths;
use crate::ops::reshape::order;
use crate::ops::slice::{AxisSlice, axis_slices, indices};
use ndarray::{ArrayViewD, Axis, IxDyn, concatenate};

/// The elements of the first operand, in order, in another shape.
pub(crate) fn reshaped(ctx: &InferenceContext<'_>, out: Output<'_>) -> Option<Elements> {
    let standard = ctx.elements(0)?.as_standard_layout().into_owned();
    standard.into_shape_with_order(out.shape).ok().map(|array| array.into_shared())
}

pub(crate) fn concat(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    let operands: Vec<Elements> =
        (0..ctx.operands.len()).map(|slot| elements(ctx, slot)).collect::<Option<_>>()?;
    let axis = axis(ctx.required_int("axis").ok()?, operands.first()?.ndim()).ok()?;
    let views: Vec<ArrayViewD<'_, Number>> = operands.iter().map(|operand| operand.view()).collect();
    concatenate(Axis(axis), &views).ok().map(|array| array.into_shared())
}

pub(crate) fn split(ctx: &InferenceContext<'_>, Output { slot, .. }: Output<'_>) -> Option<Elements> {
    let all = ctx.elements(0)?;
    let (axis, lengths) = split_lengths(ctx).ok()?;
    let lengths: Vec<usize> =
        lengths.iter().map(|length| usize::try_from(length.as_known()?).ok()).collect::<Option<_>>()?;
    let start: usize = lengths.get(..slot)?.iter().sum();
    let end = start.checked_add(*lengths.get(slot)?)?;
    let is_inside = end <= all.shape()[axis];
    is_inside.then(|| all.slice_axis(Axis(axis), (start..end).into()).to_owned().into_shared())
}

pub(crate) fn slice(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    let all = ctx.elements(0)?;
    let axis_slices = axis_slices(ctx, all.ndim()).ok()?;
    let mut taken = all.clone();
    for AxisSlice { axis, start, end, step } in axis_slices {
        let length = taken.shape()[axis];
        let step = step.as_known().filter(|&step| step != 0)?;
        let [start, end] = [start.as_known()?, end.as_known()?];
        taken = taken.select(Axis(axis), &indices(start, end, step, length)).into_shared();
    }
    Some(taken)
}

/// The indices must be known.
pub(crate) fn gather(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    let (data, indices) = (elements(ctx, 0)?, ctx.elements(1)?);
    let axis = axis(ctx.int("axis", 0).ok()?, data.ndim()).ok()?;
    let length = data.shape()[axis];
    let index = |number: &Number| {
        let index = number.as_dim().as_known()?;
        let from_front = if index < 0 { index + length as i64 } else { index };
        usize::try_from(from_front).ok().filter(|&index| index < length)
    };
    let flat: Vec<usize> = indices.iter().map(index).collect::<Option<_>>()?;
    let size = flat.len().checked_mul(data.len() / length.max(1))?;
    if size > MAX_ELEMENTS {
        return None;
    }
    let taken = data.select(Axis(axis), &flat);
    let shape = [&data.shape()[..axis], indices.shape(), &data.shape()[axis + 1..]].concat();
    taken.into_shape_with_order(IxDyn(&shape)).ok().map(|array| array.into_shared())
}

pub(crate) fn transpose(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    let all = ctx.elements(0)?;
    let order = order(ctx, all.ndim()).ok()?;
    Some(all.clone().permuted_axes(IxDyn(&order)))
}

/// Repeats the first operand to fill a shape.
pub(crate) fn broadcast(ctx: &InferenceContext<'_>, out: Output<'_>) -> Option<Elements> {
    let all = ctx.elements(0)?;
    Some(all.broadcast(out.shape)?.to_owned().into_shared())
}

/// ScatterND along the first axis, if all indices are known.
pub(crate) fn scatter_nd(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    let (mut data, indices, updates) = (elements(ctx, 0)?.to_owned(), ctx.elements(1)?, elements(ctx, 2)?);
    if data.ndim() != 1 || ctx.str("reduction", "none").ok()? != "none" || indices.len() != updates.len() {
        return None;
    }
    for (index, update) in indices.iter().zip(updates.iter()) {
        let index = index.as_dim().as_known()?;
        let from_front = if index < 0 { index + data.len() as i64 } else { index };
        *data.get_mut(IxDyn(&[usize::try_from(from_front).ok()?]))? = update.clone();
    }
    Some(data.into_shared())
}
