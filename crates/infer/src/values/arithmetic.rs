//! Folds that compute.

use super::{Output, binary, elements, unary, zip};
use crate::data_type;
use crate::fact::{Elements, MAX_ELEMENTS};
use crate::length::Length;
use crate::number::Number;
use crate::ops::reshape::shape_range;
use crate::site::{Site, axes};
use intact8_ir::DType;
use ndarray::{Array1, ArrayD, Axis, IxDyn, Zip};

/// The element type that results are rounded to.
fn dtype(site: &Site<'_>) -> DType {
    site.dtype(0).or_else(|| site.dtype(1)).unwrap_or(DType::I64)
}

macro_rules! binary {
    ($($name:ident $method:ident;)*) => {
        $(pub(crate) fn $name(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
            let dtype = dtype(site);
            binary(site, |a, b| a.$method(b, dtype))
        })*
    };
}

binary! {
    add plus;
    sub minus;
    mul times;
    div over;
    pow power;
}

macro_rules! logical {
    ($($name:ident $a:ident $b:ident $result:expr;)*) => {
        $(pub(crate) fn $name(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
            binary(site, |$a, $b| $result)
        })*
    };
}

logical! {
    equal a b a.equal(b);
    less a b a.less(b);
    greater a b b.less(a);
    less_or_equal a b b.less(a).not();
    greater_or_equal a b a.less(b).not();
    and a b a.and(b);
    or a b a.not().and(&b.not()).not();
    xor a b a.equal(b).not();
}

macro_rules! floats {
    ($($name:ident $f:expr;)*) => {
        $(pub(crate) fn $name(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
            let dtype = dtype(site);
            unary(site, |number| number.mapped(dtype, $f))
        })*
    };
}

floats! {
    abs f64::abs;
    reciprocal |number| 1.0 / number;
    sign |number| if number == 0.0 { 0.0 } else { number.signum() };
    sqrt f64::sqrt;
}

pub(crate) fn floor(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    unary(site, |number| number.rounded(f64::floor))
}

pub(crate) fn ceil(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    unary(site, |number| number.rounded(f64::ceil))
}

/// Halves go to the even neighbour.
pub(crate) fn round(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    unary(site, |number| number.rounded(f64::round_ties_even))
}

pub(crate) fn neg(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    let dtype = dtype(site);
    unary(site, |number| Number::known(0).minus(number, dtype))
}

pub(crate) fn not(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    unary(site, Number::not)
}

pub(crate) fn modulo(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    let (dtype, truncates) = (dtype(site), site.flag("fmod").ok()?);
    binary(site, |a, b| a.modulo(b, dtype, truncates))
}

pub(crate) fn cast(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    let to = data_type::of_attribute(site, "to").ok()??;
    Number::has(to).then(|| unary(site, |number| number.cast(to)))?
}

pub(crate) fn cast_like(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    let to = site.dtype(1).filter(|&dtype| Number::has(dtype))?;
    unary(site, |number| number.cast(to))
}

/// The elements of all operands, brought together one after another.
fn variadic(site: &Site<'_>, f: impl Fn(&Number, &Number) -> Number) -> Option<Elements> {
    let mut operands = (0..site.operands.len()).map(|slot| elements(site, slot));
    let first = operands.next()??;
    operands.try_fold(first, |all, operand| zip(&all, &operand?, &f))
}

pub(crate) fn min(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    let dtype = dtype(site);
    variadic(site, |a, b| a.min(b, dtype))
}

pub(crate) fn max(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    let dtype = dtype(site);
    variadic(site, |a, b| a.max(b, dtype))
}

pub(crate) fn sum(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    let dtype = dtype(site);
    variadic(site, |a, b| a.plus(b, dtype))
}

/// The lower bound, then the upper one, which wins.
pub(crate) fn clip(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    let (dtype, mut all) = (dtype(site), elements(site, 0)?);
    if site.has("min") || site.has("max") {
        return None;
    }
    for (slot, bound) in [(1, Number::max as fn(&Number, &Number, DType) -> Number), (2, Number::min)] {
        if site.fact(slot).is_some() {
            all = zip(&all, &elements(site, slot)?, |a, b| bound(a, b, dtype))?;
        }
    }
    Some(all)
}

/// What a condition chooses, element by element.
pub(crate) fn choose(site: &Site<'_>, out: Output<'_>) -> Option<Elements> {
    let [condition, first, second] = [0, 1, 2].map(|slot| elements(site, slot));
    let (condition, first, second) = (condition?, first?, second?);
    let both = Zip::from(condition.broadcast(out.shape)?).and(first.broadcast(out.shape)?);
    Some(both.and(second.broadcast(out.shape)?).map_collect(Number::choose).into_shared())
}

/// Starts, ends and steps that are known give numbers; otherwise only how many there are can be known.
pub(crate) fn range(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    let dtype = dtype(site);
    let [start, limit, step] = [0, 1, 2].map(|slot| site.fact(slot).and_then(|fact| fact.as_scalar()));
    let (start, limit, step) = (start?, limit?, step?);
    let n = count(start, limit, step).as_known().and_then(|n| usize::try_from(n).ok())?;
    if n > MAX_ELEMENTS {
        return None;
    }
    let number = |idx: usize| start.plus(&step.times(&Number::known(idx as i64), dtype), dtype);
    Some((0..n).map(number).collect::<Array1<Number>>().into_dyn().into_shared())
}

/// How many steps lead from a start to a limit.
pub(crate) fn count(start: &Number, limit: &Number, step: &Number) -> Length {
    if let (Some(start), Some(limit), Some(step)) = (start.as_float(), limit.as_float(), step.as_float()) {
        let n = ((limit - start) / step).ceil().max(0.0);
        return if n.is_finite() && n < i64::MAX as f64 { Length::known(n as i64) } else { Length::UNKNOWN };
    }
    let distance = &limit.length() - &start.length();
    match step.length().as_known() {
        Some(step) if step > 0 => distance.ceil_div(step).max(&Length::known(0)),
        _ => Length::UNKNOWN,
    }
}

/// A reduction along axes.
fn reduced(
    site: &Site<'_>,
    first: Option<Number>,
    f: impl Fn(&Number, &Number, DType) -> Number,
) -> Option<Elements> {
    let (dtype, all) = (dtype(site), elements(site, 0)?);
    let listed = site.ints_or_operand("axes", 1).ok()?;
    let is_all = listed.as_ref().is_none_or(Vec::is_empty);
    if is_all && site.flag("noop_with_empty_axes").ok()? {
        return Some(all);
    }
    let listed = listed.filter(|list| !list.is_empty());
    let axes = axes(&listed.unwrap_or_else(|| (0..all.ndim() as i64).collect()), all.ndim()).ok()?;
    let keeps = site.int("keepdims", 1).ok()? != 0;
    let (mut rest, mut sorted): (ArrayD<Number>, _) = (all.to_owned(), axes);
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    for axis in sorted {
        let lanes = rest.map_axis(Axis(axis), |lane| {
            let mut numbers = lane.iter();
            let start = first.clone().or_else(|| numbers.next().cloned()).unwrap_or(Number::UNKNOWN);
            numbers.fold(start, |total, number| f(&total, number, dtype))
        });
        rest = if keeps { lanes.insert_axis(Axis(axis)) } else { lanes };
    }
    Some(rest.into_shared())
}

pub(crate) fn reduce_prod(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    reduced(site, Some(Number::known(1)), Number::times)
}

pub(crate) fn reduce_sum(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    reduced(site, Some(Number::known(0)), Number::plus)
}

pub(crate) fn reduce_min(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    reduced(site, None, Number::min)
}

pub(crate) fn reduce_max(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    reduced(site, None, Number::max)
}

/// The lengths of a shape, from `start` to `end`.
pub(crate) fn shape(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    let shape = site.shape(0).ok()?;
    let range = shape_range(site, shape.len()).ok()?;
    let lengths = shape[range].iter().cloned().map(Number::Whole);
    Some(lengths.collect::<Array1<Number>>().into_dyn().into_shared())
}

pub(crate) fn size(site: &Site<'_>, _: Output<'_>) -> Option<Elements> {
    let size = Number::Whole(Length::product(site.shape(0).ok()?));
    Some(Elements::from_elem(IxDyn(&[]), size))
}
