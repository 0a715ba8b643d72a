//! Operators that produce tensors from numbers and shapes.

use crate::dim_expr::DimExpr;
use crate::fact::{Elements, Fact, Shape};
use crate::inference_context::{InferenceContext, Inferred, Stop};
use crate::number::Number;
use crate::row::ElementType::{By, Common, Named};
use crate::row::{OpRow, one};
use crate::values::{Output, arithmetic};
use intact8_ir::DType::{self, F32, I32};
use intact8_ir::{Attr, Tensor};
use ndarray::IxDyn;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("BlackmanWindow", &[Named("output_datatype", Some(F32))], window),
    OpRow::values("Constant", constant),
    OpRow::tensors("ConstantOfShape", &[By(filler_type)], filled).folds(fill),
    OpRow::tensors("HammingWindow", &[Named("output_datatype", Some(F32))], window),
    OpRow::tensors("HannWindow", &[Named("output_datatype", Some(F32))], window),
    OpRow::tensors("MelWeightMatrix", &[Named("output_datatype", Some(F32))], mel),
    OpRow::tensors("Multinomial", &[Named("dtype", Some(I32))], multinomial),
    OpRow::tensors("RandomNormal", &[Named("dtype", Some(F32))], stated),
    OpRow::tensors("RandomUniform", &[Named("dtype", Some(F32))], stated),
    OpRow::tensors("Range", &[Common(3)], range).folds(arithmetic::range),
];

/// A constant; one of several attributes holds its value.
fn constant(ctx: &InferenceContext<'_>) -> Inferred<Vec<Fact>> {
    let tensor = |tensor: Tensor| Fact::constant(&tensor);
    let string = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let is_value = |(name, _): &(&String, &Attr)| name.starts_with("value") || *name == "sparse_value";
    let found = ctx.op.attrs.iter().find(is_value);
    Ok(vec![match found.map(|(_, attr)| attr) {
        Some(Attr::Tensor(value)) => Fact::constant(value),
        Some(Attr::Int(v)) => tensor(Tensor::scalar(*v)),
        Some(Attr::Ints(v)) => tensor(Tensor::new(&[v.len()], v.clone())),
        Some(Attr::Float(v)) => tensor(Tensor::scalar(*v)),
        Some(Attr::Floats(v)) => tensor(Tensor::new(&[v.len()], v.clone())),
        Some(Attr::Str(v)) => tensor(Tensor::scalar(string(v))),
        Some(Attr::Strs(v)) => tensor(Tensor::new(&[v.len()], v.iter().map(string).collect())),
        // A sparse value becomes the dense tensor that it represents.
        Some(Attr::Sparse(v)) => {
            let shape = v.shape.iter().map(|&n| DimExpr::known(n)).collect();
            Fact::tensor(Some(v.values.dtype()), Some(shape))
        }
        Some(_) => return Err(Stop::wrong("the attribute has a kind that a constant can't have")),
        None => return Err(Stop::wrong("attribute value is missing")),
    }])
}

fn filler_type(ctx: &InferenceContext<'_>) -> Inferred<Option<DType>> {
    Ok(Some(ctx.op.tensor("value")?.map_or(F32, Tensor::dtype)))
}

/// The shape in the operand.
fn filled(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    one(ctx.required_dims(0, "the shape")?)
}

fn fill(ctx: &InferenceContext<'_>, out: Output<'_>) -> Option<Elements> {
    let number = match ctx.op.tensor("value").ok()? {
        Some(value) => Number::elements(value)?.first()?.clone(),
        None => Number::known(0),
    };
    Some(Elements::from_elem(IxDyn(out.shape), number))
}

/// One dimension with the size in the operand.
fn window(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    one(vec![ctx.dim(0, "the size")?])
}

/// `[dft_length / 2 + 1, num_mel_bins]`.
fn mel(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (n_bins, length) = (ctx.dim(0, "num_mel_bins")?, ctx.dim(1, "dft_length")?);
    one(vec![&length.floor_div(2) + &DimExpr::known(1), n_bins])
}

/// `[batch, sample_size]`.
fn multinomial(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let batch = match ctx.shape_if_known(0)? {
        Some(_) => ctx.shape_of_rank(0, 2)?[0].clone(),
        None => DimExpr::UNKNOWN,
    };
    one(vec![batch, DimExpr::known(ctx.int("sample_size", 1)?)])
}

/// The shape in the attribute.
fn stated(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = ctx.op.ints("shape")?.ok_or_else(|| Stop::wrong("attribute shape is missing"))?;
    one(shape.iter().map(|&n| DimExpr::known(n)).collect())
}

/// The number of elements from a start to a limit with a step.
fn range(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let ends = [ctx.required(0)?, ctx.required(1)?, ctx.required(2)?].map(Fact::as_scalar);
    one(vec![match ends {
        [Some(start), Some(limit), Some(step)] => arithmetic::count(start, limit, step),
        _ => ctx.unknown("start, limit or step are computed while the model runs"),
    }])
}
