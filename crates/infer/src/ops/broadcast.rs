//! Operators with broadcasting of their operands.

use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, Stop};
use crate::row::ElementType::{By, Common, Is, Like};
use crate::row::{OpRow, common, one};
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
    OpRow::tensors("Where", &[By(|ctx| common(ctx, 1..3))], choice).folds(arithmetic::choose),
    OpRow::tensors("Xor", &[Is(Bool)], two).folds(arithmetic::xor),
];

fn common_to_all(ctx: &InferenceContext<'_>) -> Inferred<Option<DType>> {
    common(ctx, 0..ctx.operands.len())
}

/// The broadcast shape of several shapes.
pub(super) fn broadcast<'a>(shapes: impl IntoIterator<Item = &'a [DimExpr]>) -> Inferred<Shape> {
    let mut result: Shape = vec![];
    for shape in shapes {
        if result.len() < shape.len() {
            let n_missing = shape.len() - result.len();
            result.splice(0..0, std::iter::repeat_n(DimExpr::known(1), n_missing));
        }
        let start = result.len() - shape.len();
        for (length, other) in result[start..].iter_mut().zip(shape) {
            *length = broadcast_length(length, other)?;
        }
    }
    Ok(result)
}

/// The broadcast of two dimensions. Different ones broadcast only if one is 1; the other is the result.
fn broadcast_length(a: &DimExpr, b: &DimExpr) -> Inferred<DimExpr> {
    match (a.as_known(), b.as_known()) {
        (Some(1), _) => Ok(b.clone()),
        (_, Some(1)) => Ok(a.clone()),
        (Some(a), Some(b)) if a != b => Err(Stop::wrong(format!("dimensions {a} and {b} do not broadcast"))),
        (Some(_), _) => Ok(a.clone()),
        (_, Some(_)) => Ok(b.clone()),
        _ if a.equals(b) => Ok(a.clone()),
        _ => Ok(DimExpr::UNKNOWN),
    }
}

/// The broadcast shape of the first two operands.
pub(super) fn two(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    one(broadcast([ctx.shape(0)?, ctx.shape(1)?])?)
}

/// The broadcast shape of the first three operands.
fn choice(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    one(broadcast([ctx.shape(0)?, ctx.shape(1)?, ctx.shape(2)?])?)
}

/// The broadcast shape of all operands.
fn any_number(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    ctx.required(0)?;
    let shapes: Vec<&[DimExpr]> =
        (0..ctx.operands.len()).map(|slot| ctx.shape(slot)).collect::<Inferred<_>>()?;
    one(broadcast(shapes)?)
}

/// The broadcast of the first operand's shape and the shape in the second operand.
fn expand(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = ctx.shape(0)?;
    one(broadcast([shape, &ctx.required_dims(1, "the target shape")?])?)
}
