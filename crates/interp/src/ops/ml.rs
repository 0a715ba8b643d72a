//! Operators of `ai.onnx.ml` for features and labels.

mod features;
mod labels;
mod linear;

use crate::op::{NEWEST, OpRow};
use intact8_ir::DType;

/// The numeric types of most operators of the domain.
const FEATURES: &[DType] = &[DType::F32, DType::F64, DType::I64, DType::I32];

/// These types and strings.
const VALUES: &[DType] = &[DType::F32, DType::F64, DType::I64, DType::I32, DType::Str];

/// The types of labels and of their indices.
const LABELS: &[DType] = &[DType::Str, DType::I64];

/// The types of keys of labels.
const KEYS: &[DType] = &[DType::F32, DType::F64, DType::I64, DType::I32, DType::I16, DType::Str];

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "ArrayFeatureExtractor", opsets: 1..=NEWEST, types: VALUES, compile: features::extract },
    OpRow { name: "Binarizer", opsets: 1..=NEWEST, types: FEATURES, compile: features::binarize },
    OpRow { name: "CategoryMapper", opsets: 1..=NEWEST, types: LABELS, compile: labels::category_mapper },
    OpRow { name: "FeatureVectorizer", opsets: 1..=NEWEST, types: FEATURES, compile: features::vectorize },
    OpRow { name: "Imputer", opsets: 1..=NEWEST, types: FEATURES, compile: features::impute },
    OpRow { name: "LabelEncoder", opsets: 1..=1, types: LABELS, compile: labels::class_encoder },
    OpRow { name: "LabelEncoder", opsets: 2..=NEWEST, types: KEYS, compile: labels::label_encoder },
    OpRow { name: "LinearClassifier", opsets: 1..=NEWEST, types: FEATURES, compile: linear::classify },
    OpRow { name: "LinearRegressor", opsets: 1..=NEWEST, types: FEATURES, compile: linear::regress },
    OpRow { name: "Normalizer", opsets: 1..=NEWEST, types: FEATURES, compile: features::normalize },
    OpRow { name: "OneHotEncoder", opsets: 1..=NEWEST, types: VALUES, compile: labels::one_hot },
    OpRow { name: "Scaler", opsets: 1..=NEWEST, types: FEATURES, compile: features::scale },
];
