//! Operators whose outputs have the shape of the first operand.

use crate::fact::{Fact, Shape};
use crate::inference_context::{InferenceContext, Inferred};
use crate::row::ElementType::{By, Common, Is, Like, Named};
use crate::row::{OpRow, one};
use crate::values::{arithmetic, movement};
use intact8_ir::DType::{self, Bool};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("Abs", &[Like(0)], same).folds(arithmetic::abs),
    OpRow::tensors("Acos", &[Like(0)], same),
    OpRow::tensors("Acosh", &[Like(0)], same),
    OpRow::tensors("Asin", &[Like(0)], same),
    OpRow::tensors("Asinh", &[Like(0)], same),
    OpRow::tensors("Atan", &[Like(0)], same),
    OpRow::tensors("Atanh", &[Like(0)], same),
    OpRow::tensors("Bernoulli", &[By(named_or_like)], same),
    OpRow::tensors("BitCast", &[Named("to", None)], same),
    OpRow::tensors("BitwiseNot", &[Like(0)], same),
    OpRow::tensors("Cast", &[Named("to", None)], same).folds(arithmetic::cast),
    OpRow::tensors("CastLike", &[Like(1)], same).folds(arithmetic::cast_like),
    OpRow::tensors("Ceil", &[Like(0)], same).folds(arithmetic::ceil),
    OpRow::tensors("Celu", &[Like(0)], same),
    OpRow::tensors("Clip", &[Common(3)], same).folds(arithmetic::clip),
    OpRow::tensors("Cos", &[Like(0)], same),
    OpRow::tensors("Cosh", &[Like(0)], same),
    OpRow::tensors("CumProd", &[Like(0)], same),
    OpRow::tensors("CumSum", &[Like(0)], same),
    OpRow::tensors("Dropout", &[Like(0), By(dropout_mask)], all_same),
    OpRow::tensors("Elu", &[Like(0)], same),
    OpRow::tensors("Erf", &[Like(0)], same),
    OpRow::tensors("Exp", &[Like(0)], same),
    OpRow::tensors("EyeLike", &[By(named_or_like)], same),
    OpRow::tensors("Floor", &[Like(0)], same).folds(arithmetic::floor),
    OpRow::tensors("Gelu", &[Like(0)], same),
    OpRow::tensors("HardSigmoid", &[Like(0)], same),
    OpRow::tensors("HardSwish", &[Like(0)], same),
    OpRow::tensors("Hardmax", &[Like(0)], same),
    OpRow::values("Identity", identity),
    OpRow::tensors("IsInf", &[Is(Bool)], same),
    OpRow::tensors("IsNaN", &[Is(Bool)], same),
    OpRow::tensors("LeakyRelu", &[Like(0)], same),
    OpRow::tensors("Log", &[Like(0)], same),
    OpRow::tensors("LogSoftmax", &[Like(0)], same),
    OpRow::tensors("Mish", &[Like(0)], same),
    OpRow::tensors("Neg", &[Like(0)], same).folds(arithmetic::neg),
    OpRow::tensors("Not", &[Is(Bool)], same).folds(arithmetic::not),
    OpRow::tensors("PRelu", &[Common(2)], same),
    OpRow::tensors("RandomNormalLike", &[By(named_or_like)], same),
    OpRow::tensors("RandomUniformLike", &[By(named_or_like)], same),
    OpRow::tensors("Reciprocal", &[Like(0)], same).folds(arithmetic::reciprocal),
    OpRow::tensors("Relu", &[Like(0)], same),
    OpRow::tensors("ReverseSequence", &[Like(0)], same),
    OpRow::tensors("Round", &[Like(0)], same).folds(arithmetic::round),
    OpRow::tensors("Scatter", &[Like(0)], same),
    OpRow::tensors("ScatterElements", &[Like(0)], same),
    OpRow::tensors("ScatterND", &[Like(0)], same).folds(movement::scatter_nd),
    OpRow::tensors("Selu", &[Like(0)], same),
    OpRow::tensors("Shrink", &[Like(0)], same),
    OpRow::tensors("Sigmoid", &[Like(0)], same),
    OpRow::tensors("Sign", &[Like(0)], same).folds(arithmetic::sign),
    OpRow::tensors("Sin", &[Like(0)], same),
    OpRow::tensors("Sinh", &[Like(0)], same),
    OpRow::tensors("Softmax", &[Like(0)], same),
    OpRow::tensors("Softplus", &[Like(0)], same),
    OpRow::tensors("Softsign", &[Like(0)], same),
    OpRow::tensors("Sqrt", &[Like(0)], same).folds(arithmetic::sqrt),
    OpRow::tensors("SwiGLU", &[Common(2)], same),
    OpRow::tensors("Swish", &[Like(0)], same),
    OpRow::tensors("Tan", &[Like(0)], same),
    OpRow::tensors("Tanh", &[Like(0)], same),
    OpRow::tensors("TensorScatter", &[Common(2)], same),
    OpRow::tensors("ThresholdedRelu", &[Like(0)], same),
    OpRow::tensors("Trilu", &[Like(0)], same),
];

/// The first output has the shape of the first operand.
pub(super) fn same(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    one(ctx.shape(0)?.to_vec())
}

/// All outputs have the shape of the first operand.
pub(super) fn all_same(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    Ok(vec![Some(ctx.shape(0)?.to_vec()); ctx.n_outputs])
}

fn identity(ctx: &InferenceContext<'_>) -> Inferred<Vec<Fact>> {
    Ok(vec![ctx.required(0)?.clone()])
}

/// The element type in the attribute `dtype`, or that of the operand.
fn named_or_like(ctx: &InferenceContext<'_>) -> Inferred<Option<DType>> {
    Ok(crate::data_type::of_attribute(ctx, "dtype")?.or(ctx.dtype(0)))
}

/// Before version 10 the mask has the operand's type.
fn dropout_mask(ctx: &InferenceContext<'_>) -> Inferred<Option<DType>> {
    Ok(if ctx.opset < 10 { ctx.dtype(0) } else { Some(Bool) })
}
