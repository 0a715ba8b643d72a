//! Slices: from a start to an end in steps, along some axes.

use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, Stop, axes};
use crate::row::ElementType::Like;
use crate::row::{OpRow, one};
use crate::values::movement;

pub(super) static ROWS: &[OpRow] = &[OpRow::tensors("Slice", &[Like(0)], slice).folds(movement::slice)];

/// A slice of one axis, as in the operands: negative positions count from the end, and positions may be out of range.
pub(crate) struct AxisSlice {
    pub(crate) axis: usize,
    pub(crate) start: DimExpr,
    pub(crate) end: DimExpr,
    pub(crate) step: DimExpr,
}

/// The slices of a tensor of the given rank, from attributes or, in newer versions, from operands.
pub(crate) fn axis_slices(ctx: &InferenceContext<'_>, rank: usize) -> Inferred<Vec<AxisSlice>> {
    let read = |name: &str, slot: usize| -> Inferred<Option<Vec<DimExpr>>> {
        match ctx.op.ints(name)? {
            Some(list) => Ok(Some(list.iter().map(|&n| DimExpr::known(n)).collect())),
            None => ctx.dims_or_unknown(slot, name),
        }
    };
    let missing = |what: &str| Stop::wrong(format!("the {what} are missing"));
    let starts = read("starts", 1)?.ok_or_else(|| missing("starts"))?;
    let ends = read("ends", 2)?.ok_or_else(|| missing("ends"))?;
    let listed = ctx.op.ints("axes")?.map(<[i64]>::to_vec);
    let listed = listed.map_or_else(|| ctx.integers(3, "axes"), |list| Ok(Some(list)))?;
    let axes = match listed {
        Some(list) => axes(&list, rank)?,
        None if starts.len() <= rank => (0..starts.len()).collect(),
        None => return Err(Stop::wrong(format!("{} axes are too many for rank {rank}", starts.len()))),
    };
    let steps = ctx.dims_or_unknown(4, "steps")?.unwrap_or_else(|| vec![DimExpr::known(1); starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(Stop::wrong("starts, ends, axes and steps must have the same length"));
    }
    let axis_slices = axes.into_iter().zip(starts).zip(ends.into_iter().zip(steps));
    Ok(axis_slices.map(|((axis, start), (end, step))| AxisSlice { axis, start, end, step }).collect())
}

fn slice(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = ctx.shape(0)?;
    let mut result = shape.to_vec();
    let axis_slices = match axis_slices(ctx, shape.len()) {
        // The rank does not depend on the slices.
        Err(Stop::Unknown(reason)) => {
            ctx.unknown(reason);
            return one(vec![DimExpr::UNKNOWN; shape.len()]);
        }
        axis_slices => axis_slices?,
    };
    for AxisSlice { axis, start, end, step } in axis_slices {
        result[axis] = match step.as_known() {
            Some(0) => return Err(Stop::wrong("the step must not be 0")),
            Some(step) => slice_len(&shape[axis], &start, &end, step),
            None => DimExpr::UNKNOWN,
        };
    }
    one(result)
}

/// Larger than any dimension: exporters write such an end, or a larger one, for "to the end".
const FAR: i64 = 1_000_000_000;

/// The number of elements of a dimension in a slice.
fn slice_len(length: &DimExpr, start: &DimExpr, end: &DimExpr, step: i64) -> DimExpr {
    let (zero, one) = (DimExpr::known(0), DimExpr::known(1));
    // The whole dimension, also if it is symbolic.
    let is_whole = start.is(0) && (end.equals(length) || end.as_known().is_some_and(|end| end >= FAR));
    if step > 0 && is_whole {
        length.ceil_div(step)
    } else if step > 0 {
        let [start, end] = [start, end].map(|end| clamped(end, length, &zero, length));
        (&end - &start).ceil_div(step).max(&zero)
    } else {
        // With a negative step a slice starts at most at the last element, and may end before the first.
        let (least, most) = (DimExpr::known(-1), length - &one);
        let [start, end] = [start, end].map(|end| clamped(end, length, &least, &most));
        step.checked_neg().map_or(DimExpr::UNKNOWN, |back| (&start - &end).ceil_div(back).max(&zero))
    }
}

/// A position in a dimension: negative ones count from the end; clamped to the limits.
fn clamped(position: &DimExpr, length: &DimExpr, least: &DimExpr, most: &DimExpr) -> DimExpr {
    match position.as_known() {
        Some(position) if position >= FAR => return most.clone(),
        Some(position) if position <= -FAR => return least.clone(),
        Some(position) if position < 0 => return (length + &DimExpr::known(position)).max(least).min(most),
        Some(_) => {}
        None if position.is_at_least(&DimExpr::known(0)) => {}
        None if !DimExpr::known(-1).is_at_least(position) => return DimExpr::UNKNOWN,
        None => return (length + position).max(least).min(most),
    }
    position.max(least).min(most)
}

/// The positions of a slice of a known dimension.
pub(crate) fn indices(start: i64, end: i64, step: i64, length: usize) -> Vec<usize> {
    let length = DimExpr::known(length);
    let n_taken =
        slice_len(&length, &DimExpr::known(start), &DimExpr::known(end), step).as_known().unwrap_or(0);
    let zero = DimExpr::known(0);
    let limits =
        if step > 0 { (zero, length.clone()) } else { (DimExpr::known(-1), &length - &DimExpr::known(1)) };
    let first = clamped(&DimExpr::known(start), &length, &limits.0, &limits.1).as_known().unwrap_or(0);
    let positions = (0..n_taken).map(|n| n.checked_mul(step).and_then(|way| first.checked_add(way)));
    positions.filter_map(|position| usize::try_from(position?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_agree_with_python() {
        assert_eq!(indices(1, i64::MAX, 2, 6), [1, 3, 5]);
        assert_eq!(indices(-1, i64::MIN, -2, 5), [4, 2, 0]);
        assert_eq!(indices(-3, -1, 1, 5), [2, 3]);
        assert_eq!(indices(9, 0, -1, 3), [2, 1]);
        assert_eq!(indices(3, 1, 1, 5), [0usize; 0]);
        assert_eq!(indices(0, 5, i64::MAX, 5), [0]);
    }

    #[test]
    fn symbolic_dimensions_are_sliced_if_the_order_is_known() {
        let (n, s) = (DimExpr::known, DimExpr::symbol("S"));
        let total = &s + &DimExpr::symbol("P");
        assert!(slice_len(&s, &n(-1), &n(i64::MAX), 1).is(1));
        assert!(slice_len(&s, &n(0), &n(i64::MAX), 1).equals(&s));
        assert!(slice_len(&s, &n(1), &n(i64::MAX), 1).equals(&(&s - &n(1))));
        assert!(slice_len(&s, &n(0), &n(2), 1).is_unknown());
        assert!(slice_len(&total, &DimExpr::symbol("P"), &total, 1).equals(&s));
        assert!(slice_len(&total, &-&s, &n(i64::MAX), 1).equals(&s));
        assert!(slice_len(&s, &n(-1), &n(i64::MIN), -1).equals(&s));
    }
}
