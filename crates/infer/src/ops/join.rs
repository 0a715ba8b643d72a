//! Operators that put tensors together, take them apart, repeat or pad them.

use crate::fact::Shape;
use crate::length::Length;
use crate::row::ElementType::{By, Like};
use crate::row::{OpRow, common, one};
use crate::site::{Inferred, Site, Stop, axes, axis};
use crate::values::movement;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("CenterCropPad", &[Like(0)], center),
    OpRow::tensors("Concat", &[By(|site| common(site, 0..site.operands.len()))], concat)
        .folds(movement::concat),
    OpRow::tensors("Pad", &[Like(0)], pad),
    OpRow::tensors("Split", &[Like(0)], split).folds(movement::split),
    OpRow::tensors("Tile", &[Like(0)], tile),
];

/// The lengths along the axis add up; the other dimensions are the same in all operands.
fn concat(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    site.required(0)?;
    let shapes: Vec<Option<&[Length]>> =
        (0..site.operands.len()).map(|slot| site.shape_if_known(slot)).collect::<Inferred<_>>()?;
    one(concat_shapes(&shapes, site.required_int("axis")?)?)
}

/// The shape of several put together, of which some may be unknown.
pub(super) fn concat_shapes(shapes: &[Option<&[Length]>], at: i64) -> Inferred<Shape> {
    let first = shapes.iter().flatten().next().ok_or(Stop::Unread)?;
    let axis = axis(at, first.len())?;
    let mut result = first.to_vec();
    result[axis] = Length::known(0);
    for shape in shapes {
        let Some(shape) = shape else {
            result[axis] = Length::UNKNOWN;
            continue;
        };
        if shape.len() != result.len() {
            let (a, b) = (result.len(), shape.len());
            return Err(Stop::wrong(format!("tensors of {a} and {b} dimensions can't be put together")));
        }
        for (idx, length) in shape.iter().enumerate() {
            result[idx] = if idx == axis { &result[idx] + length } else { same(&result[idx], length)? };
        }
    }
    Ok(result)
}

/// The length of a dimension that must be the same in two tensors.
fn same(a: &Length, b: &Length) -> Inferred<Length> {
    match (a.as_known(), b.as_known()) {
        (Some(a), Some(b)) if a != b => Err(Stop::wrong(format!("dimensions {a} and {b} must be equal"))),
        (None, Some(_)) => Ok(b.clone()),
        (None, None) if a.as_symbol().is_none() && b.as_symbol().is_some() => Ok(b.clone()),
        _ => Ok(a.clone()),
    }
}

/// The axis of a Split, and how long each part is.
pub(crate) fn split_lengths(site: &Site<'_>) -> Inferred<(usize, Vec<Length>)> {
    let shape = site.shape(0)?;
    let axis = axis(site.int("axis", 0)?, shape.len())?;
    let stated = match site.op.ints("split")? {
        Some(list) => Some(list.iter().map(|&n| Length::known(n)).collect()),
        None => site.lengths(1, "the lengths of the parts")?,
    };
    if let Some(lengths) = stated {
        let sum = lengths.iter().fold(Length::known(0), |sum, length| &sum + length);
        let both = sum.as_known().zip(shape[axis].as_known());
        if let Some((sum, length)) = both.filter(|(sum, length)| sum != length) {
            return Err(Stop::wrong(format!("parts of {sum} in all can't be made of {length}")));
        }
        return Ok((axis, lengths));
    }
    // Equal parts, of which the last may be shorter.
    let n_parts = site.int("num_outputs", site.n_outputs as i64)?;
    let n_whole =
        n_parts.checked_sub(1).and_then(|n| usize::try_from(n).ok()).filter(|&n| n <= site.n_outputs);
    let n_whole = n_whole.ok_or_else(|| Stop::wrong(format!("there can't be {n_parts} parts")))?;
    let part = shape[axis].ceil_div(n_parts);
    let last = &shape[axis] - &(&part * &Length::known(n_parts - 1));
    let mut lengths = vec![part; n_whole];
    lengths.push(last);
    Ok((axis, lengths))
}

fn split(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let part = |axis: usize, length: &Length| -> Inferred<Option<Shape>> {
        let mut part = site.shape(0)?.to_vec();
        part[axis] = length.clone();
        Ok(Some(part))
    };
    match split_lengths(site) {
        Ok((axis, lengths)) => lengths.iter().map(|length| part(axis, length)).collect(),
        Err(Stop::Unknown(reason)) => {
            let axis = axis(site.int("axis", 0)?, site.shape(0)?.len())?;
            let length = site.unknown(reason);
            (0..site.n_outputs).map(|_| part(axis, &length)).collect()
        }
        Err(stop) => Err(stop),
    }
}

fn tile(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = site.shape(0)?;
    let repeats = match site.lengths(1, "repeats") {
        Err(Stop::Unknown(reason)) => vec![site.unknown(reason); shape.len()],
        repeats => repeats?.ok_or_else(|| Stop::wrong("operand 1 is missing"))?,
    };
    if repeats.len() != shape.len() {
        let message = format!("there are {} repeats for {} dimensions", repeats.len(), shape.len());
        return Err(Stop::wrong(message));
    }
    one(shape.iter().zip(&repeats).map(|(length, n)| length * n).collect())
}

/// What is added in front of the axes, then behind them; both may be negative.
fn pad(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = site.shape(0)?;
    let padded = match site.integers(3, "the axes")? {
        Some(list) => axes(&list, shape.len())?,
        None => (0..shape.len()).collect(),
    };
    let stated = site.op.ints("pads")?.map(|list| list.iter().map(|&n| Length::known(n)).collect());
    let pads = match stated.map_or_else(|| site.lengths(1, "pads"), |list| Ok(Some(list))) {
        Err(Stop::Unknown(reason)) => vec![site.unknown(reason); 2 * padded.len()],
        pads => pads?.ok_or_else(|| Stop::wrong("operand 1 is missing"))?,
    };
    if pads.len() != 2 * padded.len() {
        let message = format!("there are {} pads for {} axes", pads.len(), padded.len());
        return Err(Stop::wrong(message));
    }
    let mut result = shape.to_vec();
    for (idx, &axis) in padded.iter().enumerate() {
        result[axis] = &(&shape[axis] + &pads[idx]) + &pads[idx + padded.len()];
    }
    one(result)
}

/// The shape that is given, for the axes that are.
fn center(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let mut shape = site.shape(0)?.to_vec();
    let changed = match site.op.ints("axes")? {
        Some(list) => axes(list, shape.len())?,
        None => (0..shape.len()).collect(),
    };
    let target = site.required_lengths(1, "the target shape")?;
    if target.len() != changed.len() {
        return Err(Stop::wrong(format!("there are {} lengths for {} axes", target.len(), changed.len())));
    }
    changed.iter().zip(target).for_each(|(&axis, length)| shape[axis] = length);
    one(shape)
}
