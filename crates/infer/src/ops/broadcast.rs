//! Operators whose operands are brought to one shape: aligned at their ends, dimensions of 1 repeated.

use crate::fact::Shape;
use crate::length::Length;
use crate::row::ElementType::{By, Common, Is, Like};
use crate::row::{OpRow, common, one};
use crate::site::{Inferred, Site, Stop};
use crate::values::{arithmetic, movement};
use intact8_ir::DType::{self, Bool};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("Add", &[Common(2)], two).folds(arithmetic::add),
    OpRow::tensors("And", &[Is(Bool)], two).folds(arithmetic::and),
    OpRow::tensors("BitShift", &[Common(2)], two),
    OpRow::tensors("BitwiseAnd", &[Common(2)], two),
    OpRow::tensors("BitwiseOr", &[Common(2)], two),
    OpRow::tensors("BitwiseXor", &[Common(2)], two),
    OpRow::tensors("Div", &[Common(2)], two).folds(arithmetic::div),
    OpRow::tensors("Equal", &[Is(Bool)], two).folds(arithmetic::equal),
    OpRow::tensors("Expand", &[Like(0)], expand).folds(movement::broadcast),
    OpRow::tensors("Greater", &[Is(Bool)], two).folds(arithmetic::greater),
    OpRow::tensors("GreaterOrEqual", &[Is(Bool)], two).folds(arithmetic::greater_or_equal),
    OpRow::tensors("Less", &[Is(Bool)], two).folds(arithmetic::less),
    OpRow::tensors("LessOrEqual", &[Is(Bool)], two).folds(arithmetic::less_or_equal),
    OpRow::tensors("Max", &[By(common_to_all)], any_number).folds(arithmetic::max),
    OpRow::tensors("Mean", &[By(common_to_all)], any_number),
    OpRow::tensors("Min", &[By(common_to_all)], any_number).folds(arithmetic::min),
    OpRow::tensors("Mod", &[Common(2)], two).folds(arithmetic::modulo),
    OpRow::tensors("Mul", &[Common(2)], two).folds(arithmetic::mul),
    OpRow::tensors("Or", &[Is(Bool)], two).folds(arithmetic::or),
    OpRow::tensors("Pow", &[Like(0)], two).folds(arithmetic::pow),
    OpRow::tensors("RegexFullMatch", &[Is(Bool)], super::elementwise::same),
    OpRow::tensors("StringConcat", &[Common(2)], two),
    OpRow::tensors("Sub", &[Common(2)], two).folds(arithmetic::sub),
    OpRow::tensors("Sum", &[By(common_to_all)], any_number).folds(arithmetic::sum),
    OpRow::tensors("Where", &[By(|site| common(site, 1..3))], choice).folds(arithmetic::choose),
    OpRow::tensors("Xor", &[Is(Bool)], two).folds(arithmetic::xor),
];

fn common_to_all(site: &Site<'_>) -> Inferred<Option<DType>> {
    common(site, 0..site.operands.len())
}

/// The shape that shapes broadcast to.
pub(super) fn broadcast<'a>(shapes: impl IntoIterator<Item = &'a [Length]>) -> Inferred<Shape> {
    let mut result: Shape = vec![];
    for shape in shapes {
        if result.len() < shape.len() {
            let n_missing = shape.len() - result.len();
            result.splice(0..0, std::iter::repeat_n(Length::known(1), n_missing));
        }
        let start = result.len() - shape.len();
        for (length, other) in result[start..].iter_mut().zip(shape) {
            *length = broadcast_length(length, other)?;
        }
    }
    Ok(result)
}

/// Two lengths that differ broadcast only if one is 1; what the other is decides the result.
fn broadcast_length(a: &Length, b: &Length) -> Inferred<Length> {
    match (a.as_known(), b.as_known()) {
        (Some(1), _) => Ok(b.clone()),
        (_, Some(1)) => Ok(a.clone()),
        (Some(a), Some(b)) if a != b => Err(Stop::wrong(format!("dimensions {a} and {b} do not broadcast"))),
        (Some(_), _) => Ok(a.clone()),
        (_, Some(_)) => Ok(b.clone()),
        _ if a.equals(b) => Ok(a.clone()),
        _ => Ok(Length::UNKNOWN),
    }
}

/// The first two operands.
pub(super) fn two(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    one(broadcast([site.shape(0)?, site.shape(1)?])?)
}

/// The first three operands.
fn choice(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    one(broadcast([site.shape(0)?, site.shape(1)?, site.shape(2)?])?)
}

/// All operands.
fn any_number(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    site.required(0)?;
    let shapes: Vec<&[Length]> =
        (0..site.operands.len()).map(|slot| site.shape(slot)).collect::<Inferred<_>>()?;
    one(broadcast(shapes)?)
}

/// The first operand's shape, and the one in the second.
fn expand(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = site.shape(0)?;
    one(broadcast([shape, &site.required_lengths(1, "the target shape")?])?)
}
