//! Operators that give the same elements another shape, and those that ask for the shape.

use crate::fact::Shape;
use crate::length::Length;
use crate::row::ElementType::{Is, Like};
use crate::row::{OpRow, one};
use crate::site::{Inferred, MAX_RANK, Site, Stop, axes, axis};
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

/// 0 keeps a dimension, unless `allowzero`; -1 is what is left over. One length that is not known is what is left over,
/// too, whatever it says, for the elements stay the same.
fn reshape(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let allows_zero = site.flag("allowzero")?;
    let source = site.shape_if_known(0)?;
    let wanted = site.required_lengths(1, "the target shape")?;
    let dim = |(idx, length): (usize, &Length)| match length.as_known() {
        Some(0) if !allows_zero => match source {
            Some(source) => source.get(idx).cloned().ok_or_else(|| {
                Stop::wrong(format!("dimension {idx} can't be kept: there are only {}", source.len()))
            }),
            None => Ok(Length::UNKNOWN),
        },
        Some(-1) => Ok(Length::UNKNOWN),
        Some(n) if n < 0 => Err(Stop::wrong(format!("a dimension can't be {n}"))),
        _ => Ok(length.clone()),
    };
    let mut shape: Shape = wanted.iter().enumerate().map(dim).collect::<Inferred<_>>()?;
    let open: Vec<usize> = wanted.iter().enumerate().filter_map(|(idx, n)| n.is(-1).then_some(idx)).collect();
    if open.len() > 1 {
        return Err(Stop::wrong("only one dimension can be what is left over"));
    }
    let unknown: Vec<usize> = (0..shape.len()).filter(|&idx| shape[idx].is_unknown()).collect();
    let total = source.map_or(Length::UNKNOWN, Length::product);
    match unknown.as_slice() {
        [] => must_hold(&total, &Length::product(&shape))?,
        &[idx] => {
            let others =
                Length::product(shape.iter().enumerate().filter(|&(at, _)| at != idx).map(|(_, n)| n));
            shape[idx] = total.exact_div(&others);
            let both = total.as_known().zip(others.as_known()).filter(|_| wanted[idx].is(-1));
            if let Some((total, others)) = both.filter(|&(total, others)| others == 0 || total % others != 0)
            {
                return Err(Stop::wrong(format!("{total} elements can't be rows of {others}")));
            }
        }
        _ if wanted.iter().any(|n| n.is_unknown()) => {
            site.unknown("the target shape is computed while the model runs");
        }
        _ => {}
    }
    one(shape)
}

fn must_hold(given: &Length, wanted: &Length) -> Inferred<()> {
    match (given.as_known(), wanted.as_known()) {
        (Some(given), Some(wanted)) if given != wanted => {
            Err(Stop::wrong(format!("{given} elements can't fill a shape of {wanted}")))
        }
        _ => Ok(()),
    }
}

fn flatten(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let Some(shape) = site.shape_if_known(0)? else { return one(vec![Length::UNKNOWN; 2]) };
    let at = site.int("axis", 1)?;
    // The axis may be the one behind the last.
    let at = if at == shape.len() as i64 { shape.len() } else { axis(at, shape.len())? };
    let (outer, inner) = shape.split_at(at);
    one(vec![Length::product(outer), Length::product(inner)])
}

/// Which of so many dimensions a Shape gives.
pub(crate) fn shape_range(site: &Site<'_>, rank: usize) -> Inferred<Range<usize>> {
    let clamp = |end: i64| {
        let from_front = if end < 0 { end.saturating_add(rank as i64) } else { end };
        from_front.clamp(0, rank as i64) as usize
    };
    let (start, end) = (clamp(site.int("start", 0)?), clamp(site.int("end", i64::MAX)?));
    Ok(start..end.max(start))
}

fn shape(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let Some(shape) = site.shape_if_known(0)? else { return one(vec![Length::UNKNOWN]) };
    one(vec![Length::known(shape_range(site, shape.len())?.len())])
}

/// Without axes, every dimension of 1 goes.
fn squeeze(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = site.shape(0)?;
    let dropped = match site.ints_or_operand("axes", 1)? {
        Some(list) => axes(&list, shape.len())?,
        None => {
            let one = Length::known(1);
            if shape.iter().any(|length| !length.is(1) && !length.differs(&one)) {
                return Err(Stop::unknown("no axes are named, and which dimensions are 1 is not known"));
            }
            (0..shape.len()).filter(|&idx| shape[idx].is(1)).collect()
        }
    };
    if let Some(wrong) = dropped.iter().find_map(|&idx| shape[idx].as_known().filter(|&n| n != 1)) {
        return Err(Stop::wrong(format!("a dimension of {wrong} can't be dropped")));
    }
    let kept = shape.iter().enumerate().filter(|(idx, _)| !dropped.contains(idx));
    one(kept.map(|(_, length)| length.clone()).collect())
}

/// The axes are those of the result.
fn unsqueeze(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = site.shape(0)?;
    let list = match site.ints_or_operand("axes", 1) {
        Err(Stop::Unknown(reason)) => {
            // The axes may be unknown, but not how many they are.
            let n_new = site.required_lengths(1, "the axes").map_err(|_| Stop::unknown(reason))?.len();
            return one(vec![Length::UNKNOWN; shape.len() + n_new]);
        }
        list => list?.ok_or_else(|| Stop::wrong("the axes are missing"))?,
    };
    let rank = shape.len() + list.len();
    if rank > MAX_RANK {
        return Err(Stop::wrong(format!("{rank} dimensions are more than any model has")));
    }
    let new = axes(&list, rank)?;
    let mut old = shape.iter();
    let dims =
        (0..rank).map(|idx| if new.contains(&idx) { Some(Length::known(1)) } else { old.next().cloned() });
    one(dims.flatten().collect())
}

/// Where each dimension of a transpose's result comes from.
pub(crate) fn order(site: &Site<'_>, rank: usize) -> Inferred<Vec<usize>> {
    let Some(list) = site.op.ints("perm")? else { return Ok((0..rank).rev().collect()) };
    let order = axes(list, rank)?;
    if order.len() != rank {
        return Err(Stop::wrong(format!("perm must name {rank} axes, found {}", order.len())));
    }
    Ok(order)
}

fn transpose(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let Some(shape) = site.shape_if_known(0)? else {
        let rank = site.op.ints("perm")?.ok_or(Stop::Unread)?.len();
        return one(vec![Length::UNKNOWN; rank]);
    };
    one(order(site, shape.len())?.into_iter().map(|idx| shape[idx].clone()).collect())
}

fn block<'a>(site: &Site<'a>) -> Inferred<(&'a [Length], Length)> {
    let block = site.required_int("blocksize")?;
    if block < 1 {
        return Err(Stop::wrong(format!("a block can't be of {block}")));
    }
    Ok((site.shape_of_rank(0, 4)?, Length::known(block)))
}

fn depth_to_space(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (shape, block) = block(site)?;
    let channels = shape[1].exact_div(&(&block * &block));
    one(vec![shape[0].clone(), channels, &shape[2] * &block, &shape[3] * &block])
}

fn space_to_depth(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (shape, block) = block(site)?;
    let channels = &shape[1] * &(&block * &block);
    one(vec![shape[0].clone(), channels, shape[2].exact_div(&block), shape[3].exact_div(&block)])
}
