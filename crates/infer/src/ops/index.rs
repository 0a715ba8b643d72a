//! Operators that select elements by indices.

use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, Stop, axis};
use crate::row::ElementType::{Is, Like};
use crate::row::{OpRow, one};
use crate::values::movement;
use intact8_ir::DType::I64;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("Gather", &[Like(0)], gather).folds(movement::gather),
    OpRow::tensors("GatherElements", &[Like(0)], |ctx| one(ctx.shape(1)?.to_vec())),
    OpRow::tensors("GatherND", &[Like(0)], gather_nd),
    OpRow::tensors("OneHot", &[Like(2)], one_hot),
    OpRow::tensors("TopK", &[Like(0), Is(I64)], top),
];

/// The shape of the indices replaces the axis.
pub(super) fn gather(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (data, indices) = (ctx.shape(0)?, ctx.shape(1)?);
    let axis = axis(ctx.int("axis", 0)?, data.len())?;
    one([&data[..axis], indices, &data[axis + 1..]].concat())
}

/// The last dimension of the indices is the number of indexed dimensions of the data, after the batch.
fn gather_nd(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (data, indices) = (ctx.shape(0)?, ctx.shape(1)?);
    let n_batch =
        usize::try_from(ctx.int("batch_dims", 0)?).map_err(|_| Stop::wrong("batch_dims is negative"))?;
    let Some((depth, outer)) = indices.split_last() else {
        return Err(Stop::wrong("indices must have at least one dimension"));
    };
    let depth =
        depth.as_known().ok_or_else(|| Stop::unknown("the last dimension of the indices is unknown"))?;
    let rest = usize::try_from(depth).ok().and_then(|depth| data.get(n_batch.checked_add(depth)?..));
    let rest = rest.ok_or_else(|| {
        let message = format!("{n_batch} batch dimensions and {depth} indices exceed rank {}", data.len());
        Stop::wrong(message)
    })?;
    one([outer, rest].concat())
}

/// One more dimension, at an axis of the result.
fn one_hot(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let mut shape = ctx.shape(0)?.to_vec();
    let axis = axis(ctx.int("axis", -1)?, shape.len() + 1)?;
    shape.insert(axis, ctx.dim(1, "the depth")?);
    one(shape)
}

/// Values and indices have the same shape.
fn top(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let mut shape = ctx.shape(0)?.to_vec();
    let axis = axis(ctx.int("axis", -1)?, shape.len())?;
    shape[axis] = match ctx.op.int("k")? {
        Some(k) => DimExpr::known(k),
        None => ctx.dim(1, "k")?,
    };
    Ok(vec![Some(shape); 2])
}
