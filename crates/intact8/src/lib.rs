//! intact8 takes a trained ONNX model, calibration data and an accuracy target, and returns the most-quantized int8
//! model that still meets the target.
//!
//! This crate is the one supported public face: it re-exports what an embedder needs and adds what touches files.
//! [`create_quant_config`] and [`accuracy_based_auto_calibration`] are the two calls of the tool that intact8
//! succeeds; the `intact8` command is a thin caller of them. Passes alone, without files and without an interpreter,
//! are in `intact8-ir`, `intact8-infer` and `intact8-quant`.

mod amct;
mod compare;
mod confidence;
mod conversion;
pub mod data;
mod dump;
mod emission;
mod files;
mod goal;
mod journal;
mod judge;
mod layer_map;
mod named_passes;
mod output_files;
mod peak_memory;
mod quantize;
mod report;
mod scorer;
mod stop;
mod text_files;
mod watcher;

pub use amct::{
    Evaluator, SensitivityChoice, StrategyChoice, accuracy_based_auto_calibration, create_quant_config,
    create_quant_config_from, load_config,
};
pub use compare::{Difference, compare};
pub use confidence::{Confidence, Interval};
pub use conversion::{convert_model, convert_qat_model};
pub use dump::dump_replay;
pub use emission::{DeploySize, deploy_sizes};
pub use files::{load_model, model_bytes, save_model, saved_bytes, write_file};
pub use goal::{Goal, MaxDrop, Target};
pub use intact8_calibrate as calibrate;
pub use intact8_calibrate::{BoxError, CalibrationData, FloatModel};
pub use intact8_infer as infer;
pub use intact8_interp::{Data, Input, Interpreter, Limits, Session};
pub use intact8_ir as ir;
pub use intact8_ir::{Error, ErrorKind, Model, Result, Tensor};
pub use intact8_onnx as onnx;
pub use intact8_quant as quant;
pub use intact8_quant::{
    Emission, Flavour, PROFILES, Preparation, Prepared, Profile, QuantConfig, Record, multiply_adds,
    sample_shapes,
};
pub use intact8_search as search;
pub use intact8_search::sensitivity::CosineSimilarity;
pub use intact8_search::strategy::{BinarySearch, Minimal, WorstFirst};
pub use intact8_search::{
    Judge, Report, Roles, Scorer, Scoring, SearchObserver, SearchOptions, Sensitivity, Strategy, Verdict,
};
pub use journal::Journal;
pub use judge::Goals;
pub use named_passes::{NAMED_PASSES, NamedPass};
pub use output_files::OutputFiles;
pub use quantize::{prepare, quantize_and_save};
pub use report::{interval, names_by_rank, report_json, trials_per_second};
pub use scorer::{AnyScorer, CommandScorer, DataScorer, Effort, Score};
pub use stop::Stop;
pub use text_files::{load_any_model, save_any_model};
pub use watcher::{Progress, Watcher};

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
