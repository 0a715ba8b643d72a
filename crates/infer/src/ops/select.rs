//! Operators that choose elements by their values: how many is known only when the model runs.

use crate::fact::Shape;
use crate::length::Length;
use crate::number::Number;
use crate::row::ElementType::{Is, Like};
use crate::row::{OpRow, one};
use crate::site::{Inferred, Site, axis};
use intact8_ir::DType::I64;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("Compress", &[Like(0)], compress),
    OpRow::tensors("NonMaxSuppression", &[Is(I64)], suppress),
    OpRow::tensors("NonZero", &[Is(I64)], non_zero),
    OpRow::tensors("Unique", &[Like(0), Is(I64)], unique),
];

/// How many elements of an operand are not zero, where all are known.
fn n_non_zero(site: &Site<'_>, slot: usize) -> Option<Length> {
    let flags: Vec<bool> = site.elements(slot)?.iter().map(Number::as_flag).collect::<Option<_>>()?;
    Some(Length::known(flags.into_iter().filter(|&flag| flag).count()))
}

/// One dimension, or the chosen part of an axis.
fn compress(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let n_chosen = n_non_zero(site, 1);
    let n_chosen = n_chosen.unwrap_or_else(|| site.unknown("the condition is computed while the model runs"));
    let Some(at) = site.op.int("axis")? else { return one(vec![n_chosen]) };
    let mut shape = site.shape(0)?.to_vec();
    let axis = axis(at, shape.len())?;
    shape[axis] = n_chosen;
    one(shape)
}

/// `[selected,3]`.
fn suppress(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    one(vec![site.unknown("how many boxes are selected depends on the scores"), Length::known(3)])
}

/// `[rank,elements]`.
fn non_zero(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let rank = site.shape_if_known(0)?.map_or(Length::UNKNOWN, |shape| Length::known(shape.len()));
    let count = n_non_zero(site, 0);
    one(vec![
        rank,
        count.unwrap_or_else(|| site.unknown("how many elements are not zero depends on the data")),
    ])
}

/// What is unique, where it is first, which of them each is, and how often.
fn unique(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = site.shape_if_known(0)?;
    let n_unique = site.unknown("how many elements are unique depends on the data");
    let (unique, inverse) = match (site.op.int("axis")?, shape) {
        (None, shape) => (Some(vec![n_unique.clone()]), shape.map_or(Length::UNKNOWN, Length::product)),
        (Some(_), None) => (None, Length::UNKNOWN),
        (Some(at), Some(shape)) => {
            let (axis, mut shape) = (axis(at, shape.len())?, shape.to_vec());
            let length = std::mem::replace(&mut shape[axis], n_unique.clone());
            (Some(shape), length)
        }
    };
    let counts = Some(vec![n_unique]);
    Ok(vec![unique, counts.clone(), Some(vec![inverse]), counts])
}
