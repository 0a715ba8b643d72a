//! quantfit takes a trained ONNX model, calibration data and an accuracy target, and returns the most-quantized int8
//! model that still meets the target.
//!
//! This crate is the one supported public face: it re-exports what an embedder needs and adds what touches files.
//! [`create_quant_config`] and [`accuracy_based_auto_calibration`] are the two calls of the tool that quantfit
//! succeeds; the `quantfit` command is a thin caller of them. Passes alone, without files and without an interpreter,
//! are in `quantfit-ir`, `quantfit-infer` and `quantfit-quant`.

mod auto_calibration;
pub mod data;
mod evaluation;
mod files;
mod report;

pub use auto_calibration::{
    OutputFiles, SensitivityChoice, StrategyChoice, accuracy_based_auto_calibration, create_quant_config,
};
pub use evaluation::{CommandScorer, DataScorer, Evaluation, MaxDrop, Progress, Scorer};
pub use files::{load_model, save_model, write_file};
pub use quantfit_infer as infer;
pub use quantfit_interp::{Data, Limits, Session};
pub use quantfit_ir as ir;
pub use quantfit_ir::{Error, ErrorKind, Model, Result, Tensor};
pub use quantfit_onnx as onnx;
pub use quantfit_quant as quant;
pub use quantfit_quant::{QuantConfig, Record};
pub use quantfit_search as search;
pub use quantfit_search::{
    BinarySearch, CosineSimilarity, Evaluator, EvaluatorError, Report, Sensitivity, Strategy, Verdict,
    WorstFirst,
};

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
