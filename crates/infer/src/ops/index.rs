//! Operators that take elements by their indices.

use crate::fact::Shape;
use crate::length::Length;
use crate::row::ElementType::{Is, Like};
use crate::row::{OpRow, one};
use crate::site::{Inferred, Site, Stop, axis};
use crate::values::movement;
use intact8_ir::DType::I64;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("Gather", &[Like(0)], gather).folds(movement::gather),
    OpRow::tensors("GatherElements", &[Like(0)], |site| one(site.shape(1)?.to_vec())),
    OpRow::tensors("GatherND", &[Like(0)], gather_nd),
    OpRow::tensors("OneHot", &[Like(2)], one_hot),
    OpRow::tensors("TopK", &[Like(0), Is(I64)], top),
];

/// The indices' shape in place of the axis.
pub(super) fn gather(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (data, indices) = (site.shape(0)?, site.shape(1)?);
    let axis = axis(site.int("axis", 0)?, data.len())?;
    one([&data[..axis], indices, &data[axis + 1..]].concat())
}

/// The last dimension of the indices says how many of the data's dimensions they go through, after the batch.
fn gather_nd(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (data, indices) = (site.shape(0)?, site.shape(1)?);
    let n_batch =
        usize::try_from(site.int("batch_dims", 0)?).map_err(|_| Stop::wrong("batch_dims is negative"))?;
    let Some((depth, outer)) = indices.split_last() else {
        return Err(Stop::wrong("indices must have at least one dimension"));
    };
    let depth = depth.as_known().ok_or_else(|| Stop::unknown("how deep the indices go is not known"))?;
    let rest = usize::try_from(depth).ok().and_then(|depth| data.get(n_batch.checked_add(depth)?..));
    let rest = rest.ok_or_else(|| {
        let message =
            format!("{n_batch} batch dimensions and indices of {depth} need more than {}", data.len());
        Stop::wrong(message)
    })?;
    one([outer, rest].concat())
}

/// One more dimension, at an axis of the result.
fn one_hot(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let mut shape = site.shape(0)?.to_vec();
    let axis = axis(site.int("axis", -1)?, shape.len() + 1)?;
    shape.insert(axis, site.length(1, "the depth")?);
    one(shape)
}

/// Values and indices alike.
fn top(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let mut shape = site.shape(0)?.to_vec();
    let axis = axis(site.int("axis", -1)?, shape.len())?;
    shape[axis] = match site.op.int("k")? {
        Some(k) => Length::known(k),
        None => site.length(1, "k")?,
    };
    Ok(vec![Some(shape); 2])
}
