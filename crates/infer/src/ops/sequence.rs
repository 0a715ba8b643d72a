//! Sequences and optionals.

use super::join::concat_shapes;
use crate::data_type;
use crate::fact::{Fact, TensorFact};
use crate::length::Length;
use crate::merge::join;
use crate::row::OpRow;
use crate::site::{Inferred, Site, Stop, axis};
use intact8_ir::Attr;
use intact8_ir::DType::{Bool, F32, I64};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::values("ConcatFromSequence", concat),
    OpRow::values("Optional", optional),
    OpRow::values("OptionalGetElement", |site| Ok(vec![content(site.required(0)?).clone()])),
    OpRow::values("OptionalHasElement", |_| Ok(vec![Fact::scalar(Bool)])),
    OpRow::values("SequenceAt", |site| Ok(vec![element(site)?])),
    OpRow::values("SequenceConstruct", construct),
    OpRow::values("SequenceEmpty", empty),
    OpRow::values("SequenceErase", |site| Ok(vec![sequence(element(site)?)])),
    OpRow::values("SequenceInsert", |site| Ok(vec![sequence(join(&element(site)?, site.required(1)?))])),
    OpRow::values("SequenceLength", |_| Ok(vec![Fact::scalar(I64)])),
    OpRow::values("SplitToSequence", split),
];

/// A sequence of such values.
pub(super) fn sequence(element: Fact) -> Fact {
    Fact::Sequence(Box::new(element.for_all()))
}

/// What holds for each element of the first operand, which must be a sequence, or an optional one.
pub(super) fn element(site: &Site<'_>) -> Inferred<Fact> {
    match content(site.required(0)?) {
        Fact::Sequence(element) => Ok((**element).clone()),
        Fact::Unknown => Err(Stop::Unread),
        other => Err(Stop::wrong(format!("operand 0 must be a sequence, found {}", other.kind()))),
    }
}

/// What is in an optional; other values stand for themselves.
fn content(fact: &Fact) -> &Fact {
    match fact {
        Fact::Optional(inner) => inner,
        other => other,
    }
}

fn construct(site: &Site<'_>) -> Inferred<Vec<Fact>> {
    let elements = (0..site.operands.len()).map(|slot| site.required(slot));
    let elements: Vec<&Fact> = elements.collect::<Inferred<_>>()?;
    let first = elements.first().ok_or_else(|| Stop::wrong("operand 0 is missing"))?;
    Ok(vec![sequence(elements.iter().fold((*first).clone(), |all, element| join(&all, element)))])
}

fn empty(site: &Site<'_>) -> Inferred<Vec<Fact>> {
    let dtype = data_type::of_attribute(site, "dtype")?.unwrap_or(F32);
    Ok(vec![sequence(Fact::tensor(Some(dtype), None))])
}

/// The operand, or nothing of the type that the attribute says.
fn optional(site: &Site<'_>) -> Inferred<Vec<Fact>> {
    let inner = match (site.fact(0), site.op.attrs.get("type")) {
        (Some(fact), _) => fact.clone().for_all(),
        (None, Some(Attr::Type(ty))) => Fact::stated(ty),
        (None, _) => return Err(Stop::wrong("there is neither a value nor a type")),
    };
    Ok(vec![Fact::Optional(Box::new(inner))])
}

/// Along an axis of the elements, or along a new one.
fn concat(site: &Site<'_>) -> Inferred<Vec<Fact>> {
    let element = element(site)?;
    let Some(TensorFact { dtype, shape, .. }) = element.as_tensor() else { return Err(Stop::Unread) };
    let at = site.required_int("axis")?;
    let shape = shape.as_ref().map(|shape| -> Inferred<_> {
        // How long a sequence is is never known, so neither is the axis.
        let length = site.unknown("how long the sequence is depends on the data");
        let mut shape = shape.clone();
        if site.flag("new_axis")? {
            shape.insert(axis(at, shape.len() + 1)?, length);
            return Ok(shape);
        }
        concat_shapes(&[Some(&shape), None], at)
    });
    Ok(vec![Fact::tensor(*dtype, shape.transpose()?)])
}

/// Parts of one length where that divides the axis; without lengths, slices.
fn split(site: &Site<'_>) -> Inferred<Vec<Fact>> {
    let dtype = site.dtype(0);
    let Some(shape) = site.shape_if_known(0)? else { return Ok(vec![sequence(Fact::tensor(dtype, None))]) };
    let (axis, mut shape) = (axis(site.int("axis", 0)?, shape.len())?, shape.to_vec());
    if site.fact(1).is_none() {
        match site.int("keepdims", 1)? {
            0 => drop(shape.remove(axis)),
            _ => shape[axis] = Length::known(1),
        }
        return Ok(vec![sequence(Fact::tensor(dtype, Some(shape)))]);
    }
    let is_scalar = site.shape_if_known(1)?.is_some_and(<[Length]>::is_empty);
    let parts = site.lengths(1, "the lengths of the parts");
    shape[axis] = match parts.as_ref().map(|parts| parts.as_deref().unwrap_or_default()) {
        // A scalar is the length of all parts but the last.
        Ok([part]) if is_scalar && !shape[axis].exact_div(part).is_unknown() => part.clone(),
        Ok([first, rest @ ..]) if !is_scalar && rest.iter().all(|part| part.equals(first)) => first.clone(),
        _ => Length::UNKNOWN,
    };
    Ok(vec![sequence(Fact::tensor(dtype, Some(shape)))])
}
