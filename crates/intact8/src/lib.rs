//! intact8 takes a trained ONNX model, calibration data and an accuracy target, and returns the most-quantized int8
//! model that still meets the target.
//!
//! This crate is the one supported public face: it re-exports what an embedder needs and adds what touches files.
//! [`create_quant_config`] and [`accuracy_based_auto_calibration`] are the two calls of the tool that intact8
//! succeeds; the `intact8` command is a thin caller of them. Passes alone, without files and without an interpreter,
//! are in `intact8-ir`, `intact8-infer` and `intact8-quant`.

mod auto_calibration;
mod compare;
mod confidence;
mod conversion;
mod costs;
pub mod data;
mod dump;
mod emission;
mod evaluation;
mod files;
mod goal;
mod journal;
mod layer_map;
mod peak_memory;
mod report;
mod scorer;
mod stop;
mod unreached;

pub use auto_calibration::{
    OutputFiles, SensitivityChoice, StrategyChoice, accuracy_based_auto_calibration, create_quant_config,
    create_quant_config_from, load_config, search_and_save,
};
pub use compare::{Difference, compare};
pub use confidence::{Confidence, Interval};
pub use conversion::{convert_model, convert_qat_model};
pub use costs::layer_costs;
pub use dump::dump_replay;
pub use emission::{DeploySize, deploy_sizes};
pub use evaluation::{Evaluation, Progress};
pub use files::{load_model, model_bytes, save_model, saved_bytes, write_file};
pub use goal::{Goal, MaxDrop, Target};
pub use intact8_infer as infer;
pub use intact8_interp::{Data, Interpreter, Limits, Session};
pub use intact8_ir as ir;
pub use intact8_ir::{Error, ErrorKind, Model, Result, Tensor};
pub use intact8_onnx as onnx;
pub use intact8_quant as quant;
pub use intact8_quant::costs::{multiply_adds, sample_shapes};
pub use intact8_quant::deploy::PROFILES;
pub use intact8_quant::{DeployFormat, Emission, Profile, QuantConfig, Record};
pub use intact8_search as search;
pub use intact8_search::{
    BinarySearch, CosineSimilarity, Evaluator, EvaluatorError, Minimal, Report, SearchOptions, Sensitivity,
    Strategy, Verdict, WorstFirst,
};
pub use journal::Journal;
pub use report::{interval, report_json, trials_per_second};
pub use scorer::{CommandScorer, DataScorer, Effort, Misses, Score, Scored, Scorer, Scoring};
pub use stop::Stop;
pub use unreached::unreached_layers;

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
