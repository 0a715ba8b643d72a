//! Slices: from a start to an end in steps, along some axes.

use crate::fact::Shape;
use crate::length::Length;
use crate::row::ElementType::Like;
use crate::row::{OpRow, one};
use crate::site::{Inferred, Site, Stop, axes};
use crate::values::movement;

pub(super) static ROWS: &[OpRow] = &[OpRow::tensors("Slice", &[Like(0)], slice).folds(movement::slice)];

/// What is taken along one axis, as the operator is asked for it: from the back if negative, and beyond the ends.
pub(crate) struct Cut {
    pub(crate) axis: usize,
    pub(crate) start: Length,
    pub(crate) end: Length,
    pub(crate) step: Length,
}

/// The cuts of a tensor of so many dimensions: older versions have them as attributes, newer ones as operands.
pub(crate) fn cuts(site: &Site<'_>, rank: usize) -> Inferred<Vec<Cut>> {
    let read = |name: &str, slot: usize| -> Inferred<Option<Vec<Length>>> {
        match site.op.ints(name)? {
            Some(list) => Ok(Some(list.iter().map(|&n| Length::known(n)).collect())),
            None => site.lengths_or_unknown(slot, name),
        }
    };
    let missing = |what: &str| Stop::wrong(format!("the {what} are missing"));
    let starts = read("starts", 1)?.ok_or_else(|| missing("starts"))?;
    let ends = read("ends", 2)?.ok_or_else(|| missing("ends"))?;
    let listed = site.op.ints("axes")?.map(<[i64]>::to_vec);
    let listed = listed.map_or_else(|| site.integers(3, "axes"), |list| Ok(Some(list)))?;
    let axes = match listed {
        Some(list) => axes(&list, rank)?,
        None if starts.len() <= rank => (0..starts.len()).collect(),
        None => return Err(Stop::wrong(format!("{} axes can't be cut in {rank} dimensions", starts.len()))),
    };
    let steps = site.lengths_or_unknown(4, "steps")?.unwrap_or_else(|| vec![Length::known(1); starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(Stop::wrong("starts, ends, axes and steps must be equally many"));
    }
    let cuts = axes.into_iter().zip(starts).zip(ends.into_iter().zip(steps));
    Ok(cuts.map(|((axis, start), (end, step))| Cut { axis, start, end, step }).collect())
}

fn slice(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = site.shape(0)?;
    let mut result = shape.to_vec();
    let cuts = match cuts(site, shape.len()) {
        // The rank stays, whatever is cut.
        Err(Stop::Unknown(reason)) => {
            site.unknown(reason);
            return one(vec![Length::UNKNOWN; shape.len()]);
        }
        cuts => cuts?,
    };
    for Cut { axis, start, end, step } in cuts {
        result[axis] = match step.as_known() {
            Some(0) => return Err(Stop::wrong("a step of 0 leads nowhere")),
            Some(step) => taken(&shape[axis], &start, &end, step),
            None => Length::UNKNOWN,
        };
    }
    one(result)
}

/// Beyond any length that there is: exporters write it, or more, for "to the end".
const FAR: i64 = 1_000_000_000;

/// How many elements a cut takes of a dimension.
fn taken(length: &Length, start: &Length, end: &Length, step: i64) -> Length {
    let (zero, one) = (Length::known(0), Length::known(1));
    // All of a dimension, which is never negative, even where its parts do not tell.
    let is_whole = start.is(0) && (end.equals(length) || end.as_known().is_some_and(|end| end >= FAR));
    if step > 0 && is_whole {
        length.ceil_div(step)
    } else if step > 0 {
        let [start, end] = [start, end].map(|end| clamped(end, length, &zero, length));
        (&end - &start).ceil_div(step).max(&zero)
    } else {
        // Going back, a cut starts at the last element at most, and may end in front of the first.
        let (least, most) = (Length::known(-1), length - &one);
        let [start, end] = [start, end].map(|end| clamped(end, length, &least, &most));
        step.checked_neg().map_or(Length::UNKNOWN, |back| (&start - &end).ceil_div(back).max(&zero))
    }
}

/// A position in a dimension: counted from the back if negative, and not beyond the limits.
fn clamped(position: &Length, length: &Length, least: &Length, most: &Length) -> Length {
    match position.as_known() {
        Some(position) if position >= FAR => return most.clone(),
        Some(position) if position <= -FAR => return least.clone(),
        Some(position) if position < 0 => return (length + &Length::known(position)).max(least).min(most),
        Some(_) => {}
        None if position.is_at_least(&Length::known(0)) => {}
        None if !Length::known(-1).is_at_least(position) => return Length::UNKNOWN,
        None => return (length + position).max(least).min(most),
    }
    position.max(least).min(most)
}

/// The positions that a cut of a known dimension takes.
pub(crate) fn indices(start: i64, end: i64, step: i64, length: usize) -> Vec<usize> {
    let length = Length::known(length);
    let n_taken = taken(&length, &Length::known(start), &Length::known(end), step).as_known().unwrap_or(0);
    let zero = Length::known(0);
    let limits =
        if step > 0 { (zero, length.clone()) } else { (Length::known(-1), &length - &Length::known(1)) };
    let first = clamped(&Length::known(start), &length, &limits.0, &limits.1).as_known().unwrap_or(0);
    let positions = (0..n_taken).map(|n| n.checked_mul(step).and_then(|way| first.checked_add(way)));
    positions.filter_map(|position| usize::try_from(position?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_python() {
        assert_eq!(indices(1, i64::MAX, 2, 6), [1, 3, 5]);
        assert_eq!(indices(-1, i64::MIN, -2, 5), [4, 2, 0]);
        assert_eq!(indices(-3, -1, 1, 5), [2, 3]);
        assert_eq!(indices(9, 0, -1, 3), [2, 1]);
        assert_eq!(indices(3, 1, 1, 5), [0usize; 0]);
        assert_eq!(indices(0, 5, i64::MAX, 5), [0]);
    }

    #[test]
    fn symbols_are_cut_where_the_order_is_known() {
        let (n, s) = (Length::known, Length::symbol("S"));
        let total = &s + &Length::symbol("P");
        assert!(taken(&s, &n(-1), &n(i64::MAX), 1).is(1));
        assert!(taken(&s, &n(0), &n(i64::MAX), 1).equals(&s));
        assert!(taken(&s, &n(1), &n(i64::MAX), 1).equals(&(&s - &n(1))));
        assert!(taken(&s, &n(0), &n(2), 1).is_unknown());
        assert!(taken(&total, &Length::symbol("P"), &total, 1).equals(&s));
        assert!(taken(&total, &-&s, &n(i64::MAX), 1).equals(&s));
        assert!(taken(&s, &n(-1), &n(i64::MIN), -1).equals(&s));
    }
}
