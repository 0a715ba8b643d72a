//! Shape arithmetic: the operators on elements of small tensors, some of which may be symbolic or unknown.
//!
//! A fold returns `None` if the elements are unknown; shapes are inferred independently.

pub(crate) mod arithmetic;
pub(crate) mod movement;

use crate::fact::{Elements, MAX_ELEMENTS};
use crate::inference_context::InferenceContext;
use crate::number::Number;
use ndarray::{IxDyn, Zip};

/// The output whose elements are computed.
#[derive(Clone, Copy)]
pub(crate) struct Output<'a> {
    pub(crate) slot: usize,
    /// Its shape, which is known and small.
    pub(crate) shape: &'a [usize],
}

/// The elements of an operand, each of which may be unknown, if there are few.
pub(crate) fn elements(ctx: &InferenceContext<'_>, slot: usize) -> Option<Elements> {
    ctx.fact(slot)?.as_tensor()?.few_elements()
}

/// A function of every element of the first operand.
pub(crate) fn unary(ctx: &InferenceContext<'_>, f: impl Fn(&Number) -> Number) -> Option<Elements> {
    Some(ctx.elements(0)?.map(f).into_shared())
}

/// A function of the elements of two operands, with broadcasting.
pub(crate) fn binary(ctx: &InferenceContext<'_>, f: impl Fn(&Number, &Number) -> Number) -> Option<Elements> {
    zip(&elements(ctx, 0)?, &elements(ctx, 1)?, f)
}

/// A function of the elements of two arrays, with broadcasting.
pub(crate) fn zip(a: &Elements, b: &Elements, f: impl Fn(&Number, &Number) -> Number) -> Option<Elements> {
    let shape = broadcast_shape(a.shape(), b.shape())?;
    let (a, b) = (a.broadcast(shape.clone())?, b.broadcast(shape)?);
    Some(Zip::from(a).and(b).map_collect(f).into_shared())
}

/// The broadcast shape of two shapes, if it exists and is small.
fn broadcast_shape(a: &[usize], b: &[usize]) -> Option<IxDyn> {
    let rank = a.len().max(b.len());
    let length =
        |shape: &[usize], idx: usize| (idx + shape.len()).checked_sub(rank).map_or(1, |idx| shape[idx]);
    let dims = (0..rank).map(|idx| match (length(a, idx), length(b, idx)) {
        (1, n) | (n, 1) => Some(n),
        (a, b) => (a == b).then_some(a),
    });
    let shape: Vec<usize> = dims.collect::<Option<_>>()?;
    let size = shape.iter().try_fold(1usize, |size, &n| size.checked_mul(n))?;
    (size <= MAX_ELEMENTS).then(|| IxDyn(&shape))
}
