//! Classical machine learning: operators of `ai.onnx.ml`.

use super::elementwise::same;
use crate::fact::{Fact, Shape};
use crate::length::Length;
use crate::row::ElementType::{By, Is, Like};
use crate::row::{OpRow, one};
use crate::site::{Inferred, Site, Stop};
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
    OpRow::tensors("LinearRegressor", &[Is(F32)], |site| predicted(site, "targets")),
    OpRow::tensors("Normalizer", &[Is(F32)], same),
    OpRow::tensors("OneHotEncoder", &[Is(F32)], one_hot),
    OpRow::tensors("SVMClassifier", &[By(class_type), Is(F32)], |site| {
        let scores = site.unknown("how many scores there are depends on the method");
        classes(site, scores)
    }),
    OpRow::tensors("SVMRegressor", &[Is(F32)], |site| one(vec![n_rows(site)?, Length::known(1)])),
    OpRow::tensors("Scaler", &[Is(F32)], same),
    OpRow::tensors("TreeEnsemble", &[Like(0)], |site| predicted(site, "n_targets")),
    OpRow::tensors("TreeEnsembleClassifier", &[By(class_type), Is(F32)], classified),
    OpRow::tensors("TreeEnsembleRegressor", &[Is(F32)], |site| predicted(site, "n_targets")),
    OpRow::values("ZipMap", zip_map),
];

/// How many rows of features there are: a single dimension is one row.
fn n_rows(site: &Site<'_>) -> Inferred<Length> {
    match site.shape_if_known(0)? {
        None => Ok(Length::UNKNOWN),
        Some([_]) => Ok(Length::known(1)),
        Some([rows, _]) => Ok(rows.clone()),
        Some(shape) => Err(Stop::wrong(format!("features have 1 or 2 dimensions, found {}", shape.len()))),
    }
}

/// How many elements the first of several list attributes has that is there and not empty.
fn n_listed(site: &Site<'_>, names: &[&str]) -> Option<usize> {
    let lists = names.iter().filter_map(|name| match site.op.attrs.get(*name)? {
        Attr::Ints(list) => Some(list.len()),
        Attr::Strs(list) => Some(list.len()),
        _ => None,
    });
    lists.into_iter().find(|&n| n > 0)
}

/// What is chosen along the last dimension.
fn extracted(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let chosen = site.shape_if_known(1)?.map_or(Length::UNKNOWN, Length::product);
    match site.shape(0)? {
        [] => Err(Stop::wrong("there must be at least one dimension")),
        [_] => one(vec![Length::known(1), chosen]),
        [outer @ .., _] => one([outer, &[chosen]].concat()),
    }
}

fn cast_type(site: &Site<'_>) -> Inferred<Option<DType>> {
    match site.str("cast_to", "TO_FLOAT")? {
        "TO_FLOAT" => Ok(Some(F32)),
        "TO_INT64" => Ok(Some(I64)),
        "TO_STRING" => Ok(Some(Str)),
        other => Err(Stop::wrong(format!("cast_to {other:?} is no type that ONNX knows"))),
    }
}

/// One row: of all entries, or of as many elements as the attribute says.
fn cast_map(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let length = match site.str("map_form", "DENSE")? {
        "SPARSE" => Length::known(site.int("max_map", 1)?),
        _ => site.unknown("how many entries the map has depends on the data"),
    };
    one(vec![Length::known(1), length])
}

/// Strings become integers, and integers strings.
fn other_key(site: &Site<'_>) -> Inferred<Option<DType>> {
    Ok(site.dtype(0).map(|dtype| if dtype == Str { I64 } else { Str }))
}

fn map_type(site: &Site<'_>) -> Inferred<Option<DType>> {
    match site.required(0)? {
        Fact::Map(_, value) => Ok(value.as_tensor().and_then(|value| value.dtype)),
        _ => Ok(None),
    }
}

fn vocabulary(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let n = n_listed(site, &["string_vocabulary", "int64_vocabulary"]);
    let n = n.ok_or_else(|| Stop::wrong("there is no vocabulary"))?;
    one(vec![Length::known(1), Length::known(n)])
}

/// All features beside each other.
fn features(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let lengths = site.op.ints("inputdimensions")?;
    let lengths = lengths.ok_or_else(|| Stop::wrong("attribute inputdimensions is missing"))?;
    let total = lengths.iter().fold(Length::known(0), |total, &n| &total + &Length::known(n));
    one(vec![n_rows(site)?, total])
}

/// That of the values which the labels are replaced with.
fn label_type(site: &Site<'_>) -> Inferred<Option<DType>> {
    if let Some(values) = site.op.tensor("values_tensor")? {
        return Ok(Some(values.dtype()));
    }
    let lists = [("values_strings", Str), ("values_int64s", I64), ("values_floats", F32)];
    match lists.into_iter().find(|(name, _)| site.has(name)) {
        Some((_, dtype)) => Ok(Some(dtype)),
        None => other_key(site),
    }
}

fn class_type(site: &Site<'_>) -> Inferred<Option<DType>> {
    Ok(Some(if n_listed(site, &["classlabels_strings"]).is_some() { Str } else { I64 }))
}

/// The class of each row, and a score for each class.
fn classified(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let n =
        n_listed(site, &["classlabels_strings", "classlabels_ints", "classlabels_int64s"]).filter(|&n| n > 1);
    let scores = n.map_or_else(|| site.unknown("the classes are not named"), Length::known);
    classes(site, scores)
}

fn classes(site: &Site<'_>, scores: Length) -> Inferred<Vec<Option<Shape>>> {
    let rows = n_rows(site)?;
    Ok(vec![Some(vec![rows.clone()]), Some(vec![rows, scores])])
}

/// So many numbers for each row.
fn predicted(site: &Site<'_>, attribute: &str) -> Inferred<Vec<Option<Shape>>> {
    one(vec![n_rows(site)?, Length::known(site.int(attribute, 1)?)])
}

/// One more dimension: an element for each category.
fn one_hot(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let n = n_listed(site, &["cats_int64s", "cats_strings"]);
    let n = n.ok_or_else(|| Stop::wrong("there are no categories"))?;
    one([site.shape(0)?, &[Length::known(n)]].concat())
}

/// A map from labels to numbers for each row.
fn zip_map(site: &Site<'_>) -> Inferred<Vec<Fact>> {
    let key = class_type(site)?.unwrap_or(I64);
    Ok(vec![Fact::Sequence(Box::new(Fact::Map(key, Box::new(Fact::scalar(F32)))))])
}
