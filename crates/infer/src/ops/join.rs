//! Operators that concatenate, split, repeat or pad tensors.

use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, Stop, axes, axis};
use crate::row::ElementType::{By, Like};
use crate::row::{OpRow, common, one};
use crate::values::movement;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("CenterCropPad", &[Like(0)], center),
    OpRow::tensors("Concat", &[By(|ctx| common(ctx, 0..ctx.operands.len()))], concat).folds(movement::concat),
    OpRow::tensors("Pad", &[Like(0)], pad),
    OpRow::tensors("Split", &[Like(0)], split).folds(movement::split),
    OpRow::tensors("Tile", &[Like(0)], tile),
];

/// The dimensions of the axis are added; the other dimensions are equal in all operands.
fn concat(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    ctx.required(0)?;
    let shapes: Vec<Option<&[DimExpr]>> =
        (0..ctx.operands.len()).map(|slot| ctx.shape_if_known(slot)).collect::<Inferred<_>>()?;
    one(concat_shapes(&shapes, ctx.required_int("axis")?)?)
}

/// The shape of a concatenation; some of the shapes may be unknown.
pub(super) fn concat_shapes(shapes: &[Option<&[DimExpr]>], at: i64) -> Inferred<Shape> {
    let first = shapes.iter().flatten().next().ok_or(Stop::UnknownOperand)?;
    let axis = axis(at, first.len())?;
    let mut result = first.to_vec();
    result[axis] = DimExpr::known(0);
    for shape in shapes {
        let Some(shape) = shape else {
            result[axis] = DimExpr::UNKNOWN;
            continue;
        };
        if shape.len() != result.len() {
            let (a, b) = (result.len(), shape.len());
            return Err(Stop::wrong(format!("tensors of rank {a} and {b} can't be concatenated")));
        }
        for (idx, length) in shape.iter().enumerate() {
            result[idx] = if idx == axis { &result[idx] + length } else { same(&result[idx], length)? };
        }
    }
    Ok(result)
}

/// A dimension that must be equal in two tensors.
fn same(a: &DimExpr, b: &DimExpr) -> Inferred<DimExpr> {
    match (a.as_known(), b.as_known()) {
        (Some(a), Some(b)) if a != b => Err(Stop::wrong(format!("dimensions {a} and {b} must be equal"))),
        (None, Some(_)) => Ok(b.clone()),
        (None, None) if a.as_symbol().is_none() && b.as_symbol().is_some() => Ok(b.clone()),
        _ => Ok(a.clone()),
    }
}

/// The axis of a Split, and the dimension of each part.
pub(crate) fn split_lengths(ctx: &InferenceContext<'_>) -> Inferred<(usize, Vec<DimExpr>)> {
    let shape = ctx.shape(0)?;
    let axis = axis(ctx.int("axis", 0)?, shape.len())?;
    let stated = match ctx.op.ints("split")? {
        Some(list) => Some(list.iter().map(|&n| DimExpr::known(n)).collect()),
        None => ctx.dims(1, "the lengths of the parts")?,
    };
    if let Some(lengths) = stated {
        let sum = lengths.iter().fold(DimExpr::known(0), |sum, length| &sum + length);
        let both = sum.as_known().zip(shape[axis].as_known());
        if let Some((sum, length)) = both.filter(|(sum, length)| sum != length) {
            return Err(Stop::wrong(format!("the parts sum up to {sum}, but the axis has {length}")));
        }
        return Ok((axis, lengths));
    }
    // Equal parts; the last one may be smaller.
    let n_parts = ctx.int("num_outputs", ctx.n_outputs as i64)?;
    let n_whole =
        n_parts.checked_sub(1).and_then(|n| usize::try_from(n).ok()).filter(|&n| n <= ctx.n_outputs);
    let n_whole =
        n_whole.ok_or_else(|| Stop::wrong(format!("num_outputs must be positive, found {n_parts}")))?;
    let part = shape[axis].ceil_div(n_parts);
    let last = &shape[axis] - &(&part * &DimExpr::known(n_parts - 1));
    let mut lengths = vec![part; n_whole];
    lengths.push(last);
    Ok((axis, lengths))
}

fn split(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let part = |axis: usize, length: &DimExpr| -> Inferred<Option<Shape>> {
        let mut part = ctx.shape(0)?.to_vec();
        part[axis] = length.clone();
        Ok(Some(part))
    };
    match split_lengths(ctx) {
        Ok((axis, lengths)) => lengths.iter().map(|length| part(axis, length)).collect(),
        Err(Stop::Unknown(reason)) => {
            let axis = axis(ctx.int("axis", 0)?, ctx.shape(0)?.len())?;
            let length = ctx.unknown(reason);
            (0..ctx.n_outputs).map(|_| part(axis, &length)).collect()
        }
        Err(stop) => Err(stop),
    }
}

fn tile(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = ctx.shape(0)?;
    let repeats = match ctx.dims(1, "repeats") {
        Err(Stop::Unknown(reason)) => vec![ctx.unknown(reason); shape.len()],
        repeats => repeats?.ok_or_else(|| Stop::wrong("operand 1 is missing"))?,
    };
    if repeats.len() != shape.len() {
        let message = format!("the number of repeats is {}, but the rank is {}", repeats.len(), shape.len());
        return Err(Stop::wrong(message));
    }
    one(shape.iter().zip(&repeats).map(|(length, n)| length * n).collect())
}

/// The pads before the axes, then those after them; both may be negative.
fn pad(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = ctx.shape(0)?;
    let padded = match ctx.integers(3, "the axes")? {
        Some(list) => axes(&list, shape.len())?,
        None => (0..shape.len()).collect(),
    };
    let stated = ctx.op.ints("pads")?.map(|list| list.iter().map(|&n| DimExpr::known(n)).collect());
    let pads = match stated.map_or_else(|| ctx.dims(1, "pads"), |list| Ok(Some(list))) {
        Err(Stop::Unknown(reason)) => vec![ctx.unknown(reason); 2 * padded.len()],
        pads => pads?.ok_or_else(|| Stop::wrong("operand 1 is missing"))?,
    };
    if pads.len() != 2 * padded.len() {
        let message = format!("{} pads do not match {} axes", pads.len(), padded.len());
        return Err(Stop::wrong(message));
    }
    let mut result = shape.to_vec();
    for (idx, &axis) in padded.iter().enumerate() {
        result[axis] = &(&shape[axis] + &pads[idx]) + &pads[idx + padded.len()];
    }
    one(result)
}

/// The target shape for the given axes.
fn center(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let mut shape = ctx.shape(0)?.to_vec();
    let changed = match ctx.op.ints("axes")? {
        Some(list) => axes(list, shape.len())?,
        None => (0..shape.len()).collect(),
    };
    let target = ctx.required_dims(1, "the target shape")?;
    if target.len() != changed.len() {
        return Err(Stop::wrong(format!("{} dimensions do not match {} axes", target.len(), changed.len())));
    }
    changed.iter().zip(target).for_each(|(&axis, length)| shape[axis] = length);
    one(shape)
}
