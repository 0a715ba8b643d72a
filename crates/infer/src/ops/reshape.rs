//! Operators that change the shape but not the elements, and those that return the shape.

use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, MAX_RANK, Stop, axes, axis};
use crate::row::ElementType::{Is, Like};
use crate::row::{OpRow, one};
use crate::values::{arithmetic, movement};
use intact8_ir::DType::I64;
use std::ops::Range;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("DepthToSpace", &[Like(0)], depth_to_space),
    OpRow::tensors("Flatten", &[Like(0)], flatten).folds(movement::reshaped),
    OpRow::tensors("Reshape", &[Like(0)], reshape).folds(movement::reshaped),
    OpRow::tensors("Shape", &[Is(I64)], shape).folds(arithmetic::shape),
    OpRow::tensors("Size", &[Is(I64)], |_| one(vec![])).folds(arithmetic::size),
    OpRow::tensors("SpaceToDepth", &[Like(0)], space_to_depth),
    OpRow::tensors("Squeeze", &[Like(0)], squeeze).folds(movement::reshaped),
    OpRow::tensors("Transpose", &[Like(0)], transpose).folds(movement::transpose),
    OpRow::tensors("Unsqueeze", &[Like(0)], unsqueeze).folds(movement::reshaped),
];

/// 0 keeps a dimension, unless `allowzero` is set; -1 is the remaining dimension. A single unknown dimension follows
/// from the others in the same way, since the number of elements stays the same.
fn reshape(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let allows_zero = ctx.flag("allowzero")?;
    let source = ctx.shape_if_known(0)?;
    let wanted = ctx.required_dims(1, "the target shape")?;
    let dim = |(idx, length): (usize, &DimExpr)| match length.as_known() {
        Some(0) if !allows_zero => match source {
            Some(source) => source.get(idx).cloned().ok_or_else(|| {
                Stop::wrong(format!(
                    "dimension {idx} can't be kept, since the operand has rank {}",
                    source.len()
                ))
            }),
            None => Ok(DimExpr::UNKNOWN),
        },
        Some(-1) => Ok(DimExpr::UNKNOWN),
        Some(n) if n < 0 => Err(Stop::wrong(format!("dimensions must not be negative, found {n}"))),
        _ => Ok(length.clone()),
    };
    let mut shape: Shape = wanted.iter().enumerate().map(dim).collect::<Inferred<_>>()?;
    let open: Vec<usize> = wanted.iter().enumerate().filter_map(|(idx, n)| n.is(-1).then_some(idx)).collect();
    if open.len() > 1 {
        return Err(Stop::wrong("only one dimension may be -1"));
    }
    let unknown: Vec<usize> = (0..shape.len()).filter(|&idx| shape[idx].is_unknown()).collect();
    let total = source.map_or(DimExpr::UNKNOWN, DimExpr::product);
    match unknown.as_slice() {
        [] => must_hold(&total, &DimExpr::product(&shape))?,
        &[idx] => {
            let others =
                DimExpr::product(shape.iter().enumerate().filter(|&(at, _)| at != idx).map(|(_, n)| n));
            shape[idx] = total.exact_div(&others);
            let both = total.as_known().zip(others.as_known()).filter(|_| wanted[idx].is(-1));
            if let Some((total, others)) = both.filter(|&(total, others)| others == 0 || total % others != 0)
            {
                return Err(Stop::wrong(format!("{total} elements are not divisible by {others}")));
            }
        }
        _ if wanted.iter().any(|n| n.is_unknown()) => {
            ctx.unknown("the target shape is computed while the model runs");
        }
        _ => {}
    }
    one(shape)
}

fn must_hold(found: &DimExpr, expected: &DimExpr) -> Inferred<()> {
    match (found.as_known(), expected.as_known()) {
        (Some(found), Some(expected)) if found != expected => {
            Err(Stop::wrong(format!("the operand has {found} elements, but the target shape has {expected}")))
        }
        _ => Ok(()),
    }
}

fn flatten(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let Some(shape) = ctx.shape_if_known(0)? else { return one(vec![DimExpr::UNKNOWN; 2]) };
    let at = ctx.int("axis", 1)?;
    // The axis may equal the rank.
    let at = if at == shape.len() as i64 { shape.len() } else { axis(at, shape.len())? };
    let (outer, inner) = shape.split_at(at);
    one(vec![DimExpr::product(outer), DimExpr::product(inner)])
}

/// The range of the dimensions that a Shape returns.
pub(crate) fn shape_range(ctx: &InferenceContext<'_>, rank: usize) -> Inferred<Range<usize>> {
    let clamp = |end: i64| {
        let from_front = if end < 0 { end.saturating_add(rank as i64) } else { end };
        from_front.clamp(0, rank as i64) as usize
    };
    let (start, end) = (clamp(ctx.int("start", 0)?), clamp(ctx.int("end", i64::MAX)?));
    Ok(start..end.max(start))
}

fn shape(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let Some(shape) = ctx.shape_if_known(0)? else { return one(vec![DimExpr::UNKNOWN]) };
    one(vec![DimExpr::known(shape_range(ctx, shape.len())?.len())])
}

/// Without axes, every dimension of 1 is removed.
fn squeeze(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = ctx.shape(0)?;
    let dropped = match ctx.ints_or_operand("axes", 1)? {
        Some(list) => axes(&list, shape.len())?,
        None => {
            let one = DimExpr::known(1);
            if shape.iter().any(|length| !length.is(1) && !length.differs(&one)) {
                return Err(Stop::unknown("the axes are missing, and some dimensions are unknown"));
            }
            (0..shape.len()).filter(|&idx| shape[idx].is(1)).collect()
        }
    };
    if let Some(wrong) = dropped.iter().find_map(|&idx| shape[idx].as_known().filter(|&n| n != 1)) {
        return Err(Stop::wrong(format!("a dimension of {wrong} can't be removed")));
    }
    let kept = shape.iter().enumerate().filter(|(idx, _)| !dropped.contains(idx));
    one(kept.map(|(_, length)| length.clone()).collect())
}

/// The axes are those of the result.
fn unsqueeze(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = ctx.shape(0)?;
    let list = match ctx.ints_or_operand("axes", 1) {
        Err(Stop::Unknown(reason)) => {
            // The axes may be unknown, but not their number.
            let n_new = ctx.required_dims(1, "the axes").map_err(|_| Stop::unknown(reason))?.len();
            return one(vec![DimExpr::UNKNOWN; shape.len() + n_new]);
        }
        list => list?.ok_or_else(|| Stop::wrong("the axes are missing"))?,
    };
    let rank = shape.len() + list.len();
    if rank > MAX_RANK {
        return Err(Stop::wrong(format!("rank {rank} is too large")));
    }
    let new = axes(&list, rank)?;
    let mut old = shape.iter();
    let dims =
        (0..rank).map(|idx| if new.contains(&idx) { Some(DimExpr::known(1)) } else { old.next().cloned() });
    one(dims.flatten().collect())
}

/// The source of each dimension of a Transpose's result.
pub(crate) fn order(ctx: &InferenceContext<'_>, rank: usize) -> Inferred<Vec<usize>> {
    let Some(list) = ctx.op.ints("perm")? else { return Ok((0..rank).rev().collect()) };
    let order = axes(list, rank)?;
    if order.len() != rank {
        return Err(Stop::wrong(format!("perm must have {rank} axes, found {}", order.len())));
    }
    Ok(order)
}

fn transpose(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let Some(shape) = ctx.shape_if_known(0)? else {
        let rank = ctx.op.ints("perm")?.ok_or(Stop::UnknownOperand)?.len();
        return one(vec![DimExpr::UNKNOWN; rank]);
    };
    one(order(ctx, shape.len())?.into_iter().map(|idx| shape[idx].clone()).collect())
}

fn block<'a>(ctx: &InferenceContext<'a>) -> Inferred<(&'a [DimExpr], DimExpr)> {
    let block = ctx.required_int("blocksize")?;
    if block < 1 {
        return Err(Stop::wrong(format!("blocksize must be positive, found {block}")));
    }
    Ok((ctx.shape_of_rank(0, 4)?, DimExpr::known(block)))
}

fn depth_to_space(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (shape, block) = block(ctx)?;
    let channels = shape[1].exact_div(&(&block * &block));
    one(vec![shape[0].clone(), channels, &shape[2] * &block, &shape[3] * &block])
}

fn space_to_depth(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (shape, block) = block(ctx)?;
    let channels = &shape[1] * &(&block * &block);
    one(vec![shape[0].clone(), channels, shape[2].exact_div(&block), shape[3].exact_div(&block)])
}
