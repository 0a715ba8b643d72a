//! Reductions along axes.

use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, Stop, axes, axis};
use crate::row::ElementType::{Is, Like};
use crate::row::{OpRow, one};
use crate::values::arithmetic;
use intact8_ir::DType::I64;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("ArgMax", &[Is(I64)], arg),
    OpRow::tensors("ArgMin", &[Is(I64)], arg),
    OpRow::tensors("ReduceL1", &[Like(0)], reduced),
    OpRow::tensors("ReduceL2", &[Like(0)], reduced),
    OpRow::tensors("ReduceLogSum", &[Like(0)], reduced),
    OpRow::tensors("ReduceLogSumExp", &[Like(0)], reduced),
    OpRow::tensors("ReduceMax", &[Like(0)], reduced).folds(arithmetic::reduce_max),
    OpRow::tensors("ReduceMean", &[Like(0)], reduced),
    OpRow::tensors("ReduceMin", &[Like(0)], reduced).folds(arithmetic::reduce_min),
    OpRow::tensors("ReduceProd", &[Like(0)], reduced).folds(arithmetic::reduce_prod),
    OpRow::tensors("ReduceSum", &[Like(0)], reduced).folds(arithmetic::reduce_sum),
    OpRow::tensors("ReduceSumSquare", &[Like(0)], reduced),
];

/// The reduced shape: without the axes, or with 1 instead of their dimensions.
fn without(shape: &[DimExpr], axes: &[usize], keeps: bool) -> Shape {
    let kept = shape.iter().enumerate().filter_map(|(idx, length)| match axes.contains(&idx) {
        true => keeps.then(|| DimExpr::known(1)),
        false => Some(length.clone()),
    });
    kept.collect()
}

/// Without axes all are reduced, or none with `noop_with_empty_axes`.
pub(super) fn reduced(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = ctx.shape(0)?;
    let keeps = ctx.int("keepdims", 1)? != 0;
    let listed = match ctx.ints_or_operand("axes", 1) {
        // Only the rank is known.
        Err(Stop::Unknown(reason)) if keeps => {
            ctx.unknown(reason);
            return one(vec![DimExpr::UNKNOWN; shape.len()]);
        }
        listed => listed?,
    };
    let axes = match listed.filter(|list| !list.is_empty()) {
        Some(list) => axes(&list, shape.len())?,
        None if ctx.flag("noop_with_empty_axes")? => vec![],
        None => (0..shape.len()).collect(),
    };
    one(without(shape, &axes, keeps))
}

fn arg(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = ctx.shape(0)?;
    let axis = axis(ctx.int("axis", 0)?, shape.len())?;
    one(without(shape, &[axis], ctx.int("keepdims", 1)? != 0))
}
