//! Operators that make tensors of numbers and shapes.

use crate::fact::{Elements, Fact, Shape};
use crate::length::Length;
use crate::number::Number;
use crate::row::ElementType::{By, Common, Named};
use crate::row::{OpRow, one};
use crate::site::{Inferred, Site, Stop};
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

/// The attribute says what it is, in one of many ways.
fn constant(site: &Site<'_>) -> Inferred<Vec<Fact>> {
    let tensor = |tensor: Tensor| Fact::constant(&tensor);
    let string = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let is_value = |(name, _): &(&String, &Attr)| name.starts_with("value") || *name == "sparse_value";
    let found = site.op.attrs.iter().find(is_value);
    Ok(vec![match found.map(|(_, attr)| attr) {
        Some(Attr::Tensor(value)) => Fact::constant(value),
        Some(Attr::Int(v)) => tensor(Tensor::scalar(*v)),
        Some(Attr::Ints(v)) => tensor(Tensor::new(&[v.len()], v.clone())),
        Some(Attr::Float(v)) => tensor(Tensor::scalar(*v)),
        Some(Attr::Floats(v)) => tensor(Tensor::new(&[v.len()], v.clone())),
        Some(Attr::Str(v)) => tensor(Tensor::scalar(string(v))),
        Some(Attr::Strs(v)) => tensor(Tensor::new(&[v.len()], v.iter().map(string).collect())),
        // A sparse value is the dense tensor that it stands for.
        Some(Attr::Sparse(v)) => {
            let shape = v.shape.iter().map(|&n| Length::known(n)).collect();
            Fact::tensor(Some(v.values.dtype()), Some(shape))
        }
        Some(_) => return Err(Stop::wrong("the value is of a kind that no constant has")),
        None => return Err(Stop::wrong("attribute value is missing")),
    }])
}

fn filler_type(site: &Site<'_>) -> Inferred<Option<DType>> {
    Ok(Some(site.op.tensor("value")?.map_or(F32, Tensor::dtype)))
}

/// The shape that the operand holds.
fn filled(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    one(site.required_lengths(0, "the shape")?)
}

fn fill(site: &Site<'_>, out: Output<'_>) -> Option<Elements> {
    let number = match site.op.tensor("value").ok()? {
        Some(value) => Number::elements(value)?.first()?.clone(),
        None => Number::known(0),
    };
    Some(Elements::from_elem(IxDyn(out.shape), number))
}

/// As many elements as the operand says.
fn window(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    one(vec![site.length(0, "the size")?])
}

/// `[dft_length / 2 + 1, num_mel_bins]`.
fn mel(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (n_bins, length) = (site.length(0, "num_mel_bins")?, site.length(1, "dft_length")?);
    one(vec![&length.floor_div(2) + &Length::known(1), n_bins])
}

/// `[batch, sample_size]`.
fn multinomial(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let batch = match site.shape_if_known(0)? {
        Some(_) => site.shape_of_rank(0, 2)?[0].clone(),
        None => Length::UNKNOWN,
    };
    one(vec![batch, Length::known(site.int("sample_size", 1)?)])
}

/// The attribute's shape.
fn stated(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = site.op.ints("shape")?.ok_or_else(|| Stop::wrong("attribute shape is missing"))?;
    one(shape.iter().map(|&n| Length::known(n)).collect())
}

/// From a start to a limit in steps.
fn range(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let ends = [site.required(0)?, site.required(1)?, site.required(2)?].map(Fact::as_scalar);
    one(vec![match ends {
        [Some(start), Some(limit), Some(step)] => arithmetic::count(start, limit, step),
        _ => site.unknown("the ends are computed while the model runs"),
    }])
}
