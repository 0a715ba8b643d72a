//! Sequences and optionals.

use super::join::concat_shapes;
use crate::data_type;
use crate::dim_expr::DimExpr;
use crate::fact::{Fact, TensorFact};
use crate::inference_context::{InferenceContext, Inferred, Stop, axis};
use crate::merge::join;
use crate::row::OpRow;
use intact8_ir::Attr;
use intact8_ir::DType::{Bool, F32, I64};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::values("ConcatFromSequence", concat),
    OpRow::values("Optional", optional),
    OpRow::values("OptionalGetElement", |ctx| Ok(vec![content(ctx.required(0)?).clone()])),
    OpRow::values("OptionalHasElement", |_| Ok(vec![Fact::scalar(Bool)])),
    OpRow::values("SequenceAt", |ctx| Ok(vec![element(ctx)?])),
    OpRow::values("SequenceConstruct", construct),
    OpRow::values("SequenceEmpty", empty),
    OpRow::values("SequenceErase", |ctx| Ok(vec![sequence(element(ctx)?)])),
    OpRow::values("SequenceInsert", |ctx| Ok(vec![sequence(join(&element(ctx)?, ctx.required(1)?))])),
    OpRow::values("SequenceLength", |_| Ok(vec![Fact::scalar(I64)])),
    OpRow::values("SplitToSequence", split),
];

/// A sequence of values.
pub(super) fn sequence(element: Fact) -> Fact {
    Fact::Sequence(Box::new(element.for_all()))
}

/// The fact about each element of the first operand, which must be a sequence or an optional sequence.
pub(super) fn element(ctx: &InferenceContext<'_>) -> Inferred<Fact> {
    match content(ctx.required(0)?) {
        Fact::Sequence(element) => Ok((**element).clone()),
        Fact::Unknown => Err(Stop::UnknownOperand),
        other => Err(Stop::wrong(format!("operand 0 must be a sequence, found {}", other.kind()))),
    }
}

/// The content of an optional; other values are their own content.
fn content(fact: &Fact) -> &Fact {
    match fact {
        Fact::Optional(inner) => inner,
        other => other,
    }
}

fn construct(ctx: &InferenceContext<'_>) -> Inferred<Vec<Fact>> {
    let elements = (0..ctx.operands.len()).map(|slot| ctx.required(slot));
    let elements: Vec<&Fact> = elements.collect::<Inferred<_>>()?;
    let first = elements.first().ok_or_else(|| Stop::wrong("operand 0 is missing"))?;
    Ok(vec![sequence(elements.iter().fold((*first).clone(), |all, element| join(&all, element)))])
}

fn empty(ctx: &InferenceContext<'_>) -> Inferred<Vec<Fact>> {
    let dtype = data_type::of_attribute(ctx, "dtype")?.unwrap_or(F32);
    Ok(vec![sequence(Fact::tensor(Some(dtype), None))])
}

/// The operand, or an empty optional of the type in the attribute.
fn optional(ctx: &InferenceContext<'_>) -> Inferred<Vec<Fact>> {
    let inner = match (ctx.fact(0), ctx.op.attrs.get("type")) {
        (Some(fact), _) => fact.clone().for_all(),
        (None, Some(Attr::Type(ty))) => Fact::stated(ty),
        (None, _) => return Err(Stop::wrong("both the value and the type are missing")),
    };
    Ok(vec![Fact::Optional(Box::new(inner))])
}

/// Along an axis of the elements, or along a new one.
fn concat(ctx: &InferenceContext<'_>) -> Inferred<Vec<Fact>> {
    let element = element(ctx)?;
    let Some(TensorFact { dtype, shape, .. }) = element.as_tensor() else { return Err(Stop::UnknownOperand) };
    let at = ctx.required_int("axis")?;
    let shape = shape.as_ref().map(|shape| -> Inferred<_> {
        // The length of a sequence is never known, so the dimension is unknown.
        let length = ctx.unknown("the length of the sequence depends on the data");
        let mut shape = shape.clone();
        if ctx.flag("new_axis")? {
            shape.insert(axis(at, shape.len() + 1)?, length);
            return Ok(shape);
        }
        concat_shapes(&[Some(&shape), None], at)
    });
    Ok(vec![Fact::tensor(*dtype, shape.transpose()?)])
}

/// Parts of one length if it divides the axis; without lengths, slices.
fn split(ctx: &InferenceContext<'_>) -> Inferred<Vec<Fact>> {
    let dtype = ctx.dtype(0);
    let Some(shape) = ctx.shape_if_known(0)? else { return Ok(vec![sequence(Fact::tensor(dtype, None))]) };
    let (axis, mut shape) = (axis(ctx.int("axis", 0)?, shape.len())?, shape.to_vec());
    if ctx.fact(1).is_none() {
        match ctx.int("keepdims", 1)? {
            0 => drop(shape.remove(axis)),
            _ => shape[axis] = DimExpr::known(1),
        }
        return Ok(vec![sequence(Fact::tensor(dtype, Some(shape)))]);
    }
    let is_scalar = ctx.shape_if_known(1)?.is_some_and(<[DimExpr]>::is_empty);
    let parts = ctx.dims(1, "the lengths of the parts");
    shape[axis] = match parts.as_ref().map(|parts| parts.as_deref().unwrap_or_default()) {
        // A scalar is the length of all parts except for the last.
        Ok([part]) if is_scalar && !shape[axis].exact_div(part).is_unknown() => part.clone(),
        Ok([first, rest @ ..]) if !is_scalar && rest.iter().all(|part| part.equals(first)) => first.clone(),
        _ => DimExpr::UNKNOWN,
    };
    Ok(vec![sequence(Fact::tensor(dtype, Some(shape)))])
}
