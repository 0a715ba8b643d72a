//! Classical machine learning: operators of `ai.onnx.ml`.

use super::elementwise::same;
use crate::dim_expr::DimExpr;
use crate::fact::{Fact, Shape};
use crate::inference_context::{InferenceContext, Inferred, Stop};
use crate::row::ElementType::{By, Is, Like};
use crate::row::{OpRow, one};
use intact8_ir::Attr;
use intact8_ir::DType::{self, F32, I64, Str};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("ArrayFeatureExtractor", &[Like(0)], extracted),
    OpRow::tensors("Binarizer", &[Like(0)], same),
    OpRow::tensors("CastMap", &[By(cast_type)], cast_map),
    OpRow::tensors("CategoryMapper", &[By(other_key)], same),
    OpRow::tensors("DictVectorizer", &[By(map_type)], vocabulary),
    OpRow::tensors("FeatureVectorizer", &[Is(F32)], features),
    OpRow::tensors("Imputer", &[Like(0)], same),
    OpRow::tensors("LabelEncoder", &[By(label_type)], same),
    OpRow::tensors("LinearClassifier", &[By(class_type), Is(F32)], classified),
    OpRow::tensors("LinearRegressor", &[Is(F32)], |ctx| predicted(ctx, "targets")),
    OpRow::tensors("Normalizer", &[Is(F32)], same),
    OpRow::tensors("OneHotEncoder", &[Is(F32)], one_hot),
    OpRow::tensors("SVMClassifier", &[By(class_type), Is(F32)], |ctx| {
        let scores = ctx.unknown("the number of scores depends on the method");
        classes(ctx, scores)
    }),
    OpRow::tensors("SVMRegressor", &[Is(F32)], |ctx| one(vec![n_rows(ctx)?, DimExpr::known(1)])),
    OpRow::tensors("Scaler", &[Is(F32)], same),
    OpRow::tensors("TreeEnsemble", &[Like(0)], |ctx| predicted(ctx, "n_targets")),
    OpRow::tensors("TreeEnsembleClassifier", &[By(class_type), Is(F32)], classified),
    OpRow::tensors("TreeEnsembleRegressor", &[Is(F32)], |ctx| predicted(ctx, "n_targets")),
    OpRow::values("ZipMap", zip_map),
];

/// The number of rows of features; a tensor of rank 1 is one row.
fn n_rows(ctx: &InferenceContext<'_>) -> Inferred<DimExpr> {
    match ctx.shape_if_known(0)? {
        None => Ok(DimExpr::UNKNOWN),
        Some([_]) => Ok(DimExpr::known(1)),
        Some([rows, _]) => Ok(rows.clone()),
        Some(shape) => Err(Stop::wrong(format!("features must have rank 1 or 2, found {}", shape.len()))),
    }
}

/// The number of elements of the first of several list attributes that is present and not empty.
fn n_listed(ctx: &InferenceContext<'_>, names: &[&str]) -> Option<usize> {
    let lists = names.iter().filter_map(|name| match ctx.op.attrs.get(*name)? {
        Attr::Ints(list) => Some(list.len()),
        Attr::Strs(list) => Some(list.len()),
        _ => None,
    });
    lists.into_iter().find(|&n| n > 0)
}

/// A selection along the last dimension.
fn extracted(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let chosen = ctx.shape_if_known(1)?.map_or(DimExpr::UNKNOWN, DimExpr::product);
    match ctx.shape(0)? {
        [] => Err(Stop::wrong("the rank must be at least 1")),
        [_] => one(vec![DimExpr::known(1), chosen]),
        [outer @ .., _] => one([outer, &[chosen]].concat()),
    }
}

fn cast_type(ctx: &InferenceContext<'_>) -> Inferred<Option<DType>> {
    match ctx.str("cast_to", "TO_FLOAT")? {
        "TO_FLOAT" => Ok(Some(F32)),
        "TO_INT64" => Ok(Some(I64)),
        "TO_STRING" => Ok(Some(Str)),
        other => Err(Stop::wrong(format!("cast_to {other:?} is not defined by ONNX"))),
    }
}

/// One row, with all entries, or with the number of elements of the attribute.
fn cast_map(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let length = match ctx.str("map_form", "DENSE")? {
        "SPARSE" => DimExpr::known(ctx.int("max_map", 1)?),
        _ => ctx.unknown("the number of entries of the map depends on the data"),
    };
    one(vec![DimExpr::known(1), length])
}

/// The other type of strings and integers.
fn other_key(ctx: &InferenceContext<'_>) -> Inferred<Option<DType>> {
    Ok(ctx.dtype(0).map(|dtype| if dtype == Str { I64 } else { Str }))
}

fn map_type(ctx: &InferenceContext<'_>) -> Inferred<Option<DType>> {
    match ctx.required(0)? {
        Fact::Map(_, value) => Ok(value.as_tensor().and_then(|value| value.dtype)),
        _ => Ok(None),
    }
}

fn vocabulary(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let n = n_listed(ctx, &["string_vocabulary", "int64_vocabulary"]);
    let n = n.ok_or_else(|| Stop::wrong("the vocabulary is missing"))?;
    one(vec![DimExpr::known(1), DimExpr::known(n)])
}

/// The concatenation of all features.
fn features(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let lengths = ctx.op.ints("inputdimensions")?;
    let lengths = lengths.ok_or_else(|| Stop::wrong("attribute inputdimensions is missing"))?;
    let total = lengths.iter().fold(DimExpr::known(0), |total, &n| &total + &DimExpr::known(n));
    one(vec![n_rows(ctx)?, total])
}

/// The type of the values that replace the labels.
fn label_type(ctx: &InferenceContext<'_>) -> Inferred<Option<DType>> {
    if let Some(values) = ctx.op.tensor("values_tensor")? {
        return Ok(Some(values.dtype()));
    }
    let lists = [("values_strings", Str), ("values_int64s", I64), ("values_floats", F32)];
    match lists.into_iter().find(|(name, _)| ctx.has(name)) {
        Some((_, dtype)) => Ok(Some(dtype)),
        None => other_key(ctx),
    }
}

fn class_type(ctx: &InferenceContext<'_>) -> Inferred<Option<DType>> {
    Ok(Some(if n_listed(ctx, &["classlabels_strings"]).is_some() { Str } else { I64 }))
}

/// The class of each row, and a score for each row and class.
fn classified(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let n =
        n_listed(ctx, &["classlabels_strings", "classlabels_ints", "classlabels_int64s"]).filter(|&n| n > 1);
    let scores = n.map_or_else(|| ctx.unknown("the class labels are missing"), DimExpr::known);
    classes(ctx, scores)
}

fn classes(ctx: &InferenceContext<'_>, scores: DimExpr) -> Inferred<Vec<Option<Shape>>> {
    let rows = n_rows(ctx)?;
    Ok(vec![Some(vec![rows.clone()]), Some(vec![rows, scores])])
}

/// A number of predictions for each row, which an attribute sets.
fn predicted(ctx: &InferenceContext<'_>, attribute: &str) -> Inferred<Vec<Option<Shape>>> {
    one(vec![n_rows(ctx)?, DimExpr::known(ctx.int(attribute, 1)?)])
}

/// An additional dimension, with an element for each category.
fn one_hot(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let n = n_listed(ctx, &["cats_int64s", "cats_strings"]);
    let n = n.ok_or_else(|| Stop::wrong("the categories are missing"))?;
    one([ctx.shape(0)?, &[DimExpr::known(n)]].concat())
}

/// A map from labels to numbers for each row.
fn zip_map(ctx: &InferenceContext<'_>) -> Inferred<Vec<Fact>> {
    let key = class_type(ctx)?.unwrap_or(I64);
    Ok(vec![Fact::Sequence(Box::new(Fact::Map(key, Box::new(Fact::scalar(F32)))))])
}
