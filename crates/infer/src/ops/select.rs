//! Operators that select elements by their values; the number of results is known only when the model runs.

use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, axis};
use crate::number::Number;
use crate::row::ElementType::{Is, Like};
use crate::row::{OpRow, one};
use intact8_ir::DType::I64;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("Compress", &[Like(0)], compress),
    OpRow::tensors("NonMaxSuppression", &[Is(I64)], suppress),
    OpRow::tensors("NonZero", &[Is(I64)], non_zero),
    OpRow::tensors("Unique", &[Like(0), Is(I64)], unique),
];

/// The number of elements of an operand that are not zero, if all are known.
fn n_non_zero(ctx: &InferenceContext<'_>, slot: usize) -> Option<DimExpr> {
    let flags: Vec<bool> = ctx.elements(slot)?.iter().map(Number::as_flag).collect::<Option<_>>()?;
    Some(DimExpr::known(flags.into_iter().filter(|&flag| flag).count()))
}

/// One dimension, or the selected part of an axis.
fn compress(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let n_chosen = n_non_zero(ctx, 1);
    let n_chosen = n_chosen.unwrap_or_else(|| ctx.unknown("the condition is computed while the model runs"));
    let Some(at) = ctx.op.int("axis")? else { return one(vec![n_chosen]) };
    let mut shape = ctx.shape(0)?.to_vec();
    let axis = axis(at, shape.len())?;
    shape[axis] = n_chosen;
    one(shape)
}

/// `[selected,3]`.
fn suppress(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    one(vec![ctx.unknown("the number of selected boxes depends on the scores"), DimExpr::known(3)])
}

/// `[rank,elements]`.
fn non_zero(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let rank = ctx.shape_if_known(0)?.map_or(DimExpr::UNKNOWN, |shape| DimExpr::known(shape.len()));
    let count = n_non_zero(ctx, 0);
    one(vec![
        rank,
        count.unwrap_or_else(|| ctx.unknown("the number of nonzero elements depends on the data")),
    ])
}

/// The unique elements, the index of the first of each, the index of the unique element for each element, and the
/// counts.
fn unique(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = ctx.shape_if_known(0)?;
    let n_unique = ctx.unknown("the number of unique elements depends on the data");
    let (unique, inverse) = match (ctx.op.int("axis")?, shape) {
        (None, shape) => (Some(vec![n_unique.clone()]), shape.map_or(DimExpr::UNKNOWN, DimExpr::product)),
        (Some(_), None) => (None, DimExpr::UNKNOWN),
        (Some(at), Some(shape)) => {
            let (axis, mut shape) = (axis(at, shape.len())?, shape.to_vec());
            let length = std::mem::replace(&mut shape[axis], n_unique.clone());
            (Some(shape), length)
        }
    };
    let counts = Some(vec![n_unique]);
    Ok(vec![unique, counts.clone(), Some(vec![inverse]), counts])
}
