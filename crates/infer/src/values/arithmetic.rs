//! Folds that compute new elements.

use super::{Output, binary, elements, unary, zip};
use crate::data_type;
use crate::dim_expr::DimExpr;
use crate::fact::{Elements, MAX_ELEMENTS};
use crate::inference_context::{InferenceContext, axes};
use crate::number::Number;
use crate::ops::reshape::shape_range;
use intact8_ir::DType;
use ndarray::{Array1, ArrayD, Axis, IxDyn, Zip};

/// The element type to which results are rounded.
fn dtype(ctx: &InferenceContext<'_>) -> DType {
    ctx.dtype(0).or_else(|| ctx.dtype(1)).unwrap_or(DType::I64)
}

macro_rules! binary {
    ($($name:ident $method:ident;)*) => {
        $(pub(crate) fn $name(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
            let dtype = dtype(ctx);
            binary(ctx, |a, b| a.$method(b, dtype))
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
        $(pub(crate) fn $name(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
            binary(ctx, |$a, $b| $result)
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
        $(pub(crate) fn $name(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
            let dtype = dtype(ctx);
            unary(ctx, |number| number.mapped(dtype, $f))
        })*
    };
}

floats! {
    abs f64::abs;
    reciprocal |number| 1.0 / number;
    sign |number| if number == 0.0 { 0.0 } else { number.signum() };
    sqrt f64::sqrt;
}

pub(crate) fn floor(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    unary(ctx, |number| number.rounded(f64::floor))
}

pub(crate) fn ceil(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    unary(ctx, |number| number.rounded(f64::ceil))
}

/// Rounds half to even.
pub(crate) fn round(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    unary(ctx, |number| number.rounded(f64::round_ties_even))
}

pub(crate) fn neg(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    let dtype = dtype(ctx);
    unary(ctx, |number| Number::known(0).minus(number, dtype))
}

pub(crate) fn not(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    unary(ctx, Number::not)
}

pub(crate) fn modulo(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    let (dtype, truncates) = (dtype(ctx), ctx.flag("fmod").ok()?);
    binary(ctx, |a, b| a.modulo(b, dtype, truncates))
}

pub(crate) fn cast(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    let to = data_type::of_attribute(ctx, "to").ok()??;
    Number::has(to).then(|| unary(ctx, |number| number.cast(to)))?
}

pub(crate) fn cast_like(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    let to = ctx.dtype(1).filter(|&dtype| Number::has(dtype))?;
    unary(ctx, |number| number.cast(to))
}

/// Combines the elements of all operands from first to last.
fn variadic(ctx: &InferenceContext<'_>, f: impl Fn(&Number, &Number) -> Number) -> Option<Elements> {
    let mut operands = (0..ctx.operands.len()).map(|slot| elements(ctx, slot));
    let first = operands.next()??;
    operands.try_fold(first, |all, operand| zip(&all, &operand?, &f))
}

pub(crate) fn min(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    let dtype = dtype(ctx);
    variadic(ctx, |a, b| a.min(b, dtype))
}

pub(crate) fn max(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    let dtype = dtype(ctx);
    variadic(ctx, |a, b| a.max(b, dtype))
}

pub(crate) fn sum(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    let dtype = dtype(ctx);
    variadic(ctx, |a, b| a.plus(b, dtype))
}

/// Clamps to the lower, then to the upper bound, which has priority.
pub(crate) fn clip(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    let (dtype, mut all) = (dtype(ctx), elements(ctx, 0)?);
    if ctx.has("min") || ctx.has("max") {
        return None;
    }
    for (slot, bound) in [(1, Number::max as fn(&Number, &Number, DType) -> Number), (2, Number::min)] {
        if ctx.fact(slot).is_some() {
            all = zip(&all, &elements(ctx, slot)?, |a, b| bound(a, b, dtype))?;
        }
    }
    Some(all)
}

/// Selects by a condition, element by element.
pub(crate) fn choose(ctx: &InferenceContext<'_>, out: Output<'_>) -> Option<Elements> {
    let [condition, first, second] = [0, 1, 2].map(|slot| elements(ctx, slot));
    let (condition, first, second) = (condition?, first?, second?);
    let both = Zip::from(condition.broadcast(out.shape)?).and(first.broadcast(out.shape)?);
    Some(both.and(second.broadcast(out.shape)?).map_collect(Number::choose).into_shared())
}

/// The elements are known if start, limit and step are; otherwise only their number may be known.
pub(crate) fn range(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    let dtype = dtype(ctx);
    let [start, limit, step] = [0, 1, 2].map(|slot| ctx.fact(slot).and_then(|fact| fact.as_scalar()));
    let (start, limit, step) = (start?, limit?, step?);
    let n = count(start, limit, step).as_known().and_then(|n| usize::try_from(n).ok())?;
    if n > MAX_ELEMENTS {
        return None;
    }
    let number = |idx: usize| start.plus(&step.times(&Number::known(idx as i64), dtype), dtype);
    Some((0..n).map(number).collect::<Array1<Number>>().into_dyn().into_shared())
}

/// The number of elements from a start to a limit.
pub(crate) fn count(start: &Number, limit: &Number, step: &Number) -> DimExpr {
    if let (Some(start), Some(limit), Some(step)) = (start.as_float(), limit.as_float(), step.as_float()) {
        let n = ((limit - start) / step).ceil().max(0.0);
        return if n.is_finite() && n < i64::MAX as f64 {
            DimExpr::known(n as i64)
        } else {
            DimExpr::UNKNOWN
        };
    }
    let distance = &limit.as_dim() - &start.as_dim();
    match step.as_dim().as_known() {
        Some(step) if step > 0 => distance.ceil_div(step).max(&DimExpr::known(0)),
        _ => DimExpr::UNKNOWN,
    }
}

/// A reduction along axes.
fn reduced(
    ctx: &InferenceContext<'_>,
    first: Option<Number>,
    f: impl Fn(&Number, &Number, DType) -> Number,
) -> Option<Elements> {
    let (dtype, all) = (dtype(ctx), elements(ctx, 0)?);
    let listed = ctx.ints_or_operand("axes", 1).ok()?;
    let is_all = listed.as_ref().is_none_or(Vec::is_empty);
    if is_all && ctx.flag("noop_with_empty_axes").ok()? {
        return Some(all);
    }
    let listed = listed.filter(|list| !list.is_empty());
    let axes = axes(&listed.unwrap_or_else(|| (0..all.ndim() as i64).collect()), all.ndim()).ok()?;
    let keeps = ctx.int("keepdims", 1).ok()? != 0;
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

pub(crate) fn reduce_prod(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    reduced(ctx, Some(Number::known(1)), Number::times)
}

pub(crate) fn reduce_sum(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    reduced(ctx, Some(Number::known(0)), Number::plus)
}

pub(crate) fn reduce_min(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    reduced(ctx, None, Number::min)
}

pub(crate) fn reduce_max(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    reduced(ctx, None, Number::max)
}

/// The dimensions of a shape, from `start` to `end`.
pub(crate) fn shape(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    let shape = ctx.shape(0).ok()?;
    let range = shape_range(ctx, shape.len()).ok()?;
    let lengths = shape[range].iter().cloned().map(Number::Whole);
    Some(lengths.collect::<Array1<Number>>().into_dyn().into_shared())
}

pub(crate) fn size(ctx: &InferenceContext<'_>, _: Output<'_>) -> Option<Elements> {
    let size = Number::Whole(DimExpr::product(ctx.shape(0).ok()?));
    Some(Elements::from_elem(IxDyn(&[]), size))
}
