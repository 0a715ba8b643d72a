//! Operators that make one element of many along axes.

use crate::fact::Shape;
use crate::length::Length;
use crate::row::ElementType::{Is, Like};
use crate::row::{OpRow, one};
use crate::site::{Inferred, Site, Stop, axes, axis};
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

/// What is left of a shape: without the axes, or with dimensions of 1 in their place.
fn without(shape: &[Length], axes: &[usize], keeps: bool) -> Shape {
    let kept = shape.iter().enumerate().filter_map(|(idx, length)| match axes.contains(&idx) {
        true => keeps.then(|| Length::known(1)),
        false => Some(length.clone()),
    });
    kept.collect()
}

/// No axes are all axes, unless `noop_with_empty_axes`.
pub(super) fn reduced(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = site.shape(0)?;
    let keeps = site.int("keepdims", 1)? != 0;
    let listed = match site.ints_or_operand("axes", 1) {
        // All that can be known is that the rank stays.
        Err(Stop::Unknown(reason)) if keeps => {
            site.unknown(reason);
            return one(vec![Length::UNKNOWN; shape.len()]);
        }
        listed => listed?,
    };
    let axes = match listed.filter(|list| !list.is_empty()) {
        Some(list) => axes(&list, shape.len())?,
        None if site.flag("noop_with_empty_axes")? => vec![],
        None => (0..shape.len()).collect(),
    };
    one(without(shape, &axes, keeps))
}

fn arg(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = site.shape(0)?;
    let axis = axis(site.int("axis", 0)?, shape.len())?;
    one(without(shape, &[axis], site.int("keepdims", 1)? != 0))
}
