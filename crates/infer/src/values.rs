//! Shape arithmetic: what operators do to the elements of small tensors, of which some may be symbols or unknown.
//!
//! A fold returns nothing where it can't tell; the shapes are found without it.

pub(crate) mod arithmetic;
pub(crate) mod movement;

use crate::fact::{Elements, MAX_ELEMENTS};
use crate::number::Number;
use crate::site::Site;
use ndarray::{IxDyn, Zip};

/// An output whose elements are wanted.
#[derive(Clone, Copy)]
pub(crate) struct Output<'a> {
    pub(crate) slot: usize,
    /// Its shape, which is known and holds few elements.
    pub(crate) shape: &'a [usize],
}

/// The elements of an operand, which all may be unknown, if there are few.
pub(crate) fn elements(site: &Site<'_>, slot: usize) -> Option<Elements> {
    site.fact(slot)?.as_tensor()?.few_elements()
}

/// A function of every element of the first operand.
pub(crate) fn unary(site: &Site<'_>, f: impl Fn(&Number) -> Number) -> Option<Elements> {
    Some(site.elements(0)?.map(f).into_shared())
}

/// A function of the elements of two operands that broadcasting brings together.
pub(crate) fn binary(site: &Site<'_>, f: impl Fn(&Number, &Number) -> Number) -> Option<Elements> {
    zip(&elements(site, 0)?, &elements(site, 1)?, f)
}

/// A function of the elements of two arrays that broadcasting brings together.
pub(crate) fn zip(a: &Elements, b: &Elements, f: impl Fn(&Number, &Number) -> Number) -> Option<Elements> {
    let shape = broadcast_shape(a.shape(), b.shape())?;
    let (a, b) = (a.broadcast(shape.clone())?, b.broadcast(shape)?);
    Some(Zip::from(a).and(b).map_collect(f).into_shared())
}

/// The shape that two shapes broadcast to, if they do and it is small.
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
