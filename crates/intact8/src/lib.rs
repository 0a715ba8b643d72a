//! Accuracy-driven int8 quantization of ONNX models: from a trained model, calibration data and an accuracy target to the
//! most-quantized model that meets the target.
//!
//! This crate is the supported public interface: it re-exports the other crates and adds everything that uses files, such as data
//! sets, metrics, scorers, reports and the journal. [`quantize_and_save`] runs a search and writes its result;
//! [`calibrate_and_save`] quantizes without scoring. [`create_quant_config`], [`quantize_model`] and
//! [`accuracy_based_auto_calibration`] are calls of AMCT, the tool that intact8 succeeds. The `intact8` command calls the same
//! functions.
//!
//! It contains no quantization itself: passes are in [`quant`], calibration in [`calibrate`], the search in [`search`]. Programs
//! that need neither files nor an interpreter can use `intact8-ir`, `intact8-infer`, `intact8-quant` and `intact8-calibrate`
//! alone.
//!
//! # Example
//!
//! A model is quantized and its outputs are compared with those of the original. The SQNR must be at least 30 dB:
//!
//! ```
//! use intact8::data::{DataSet, Feeding};
//! use intact8::{
//!     DataScorer, FloatModel, Goal, Goals, Interpreter, MaxDrop, Minimal, Model, OriginalModel, OutputFiles,
//!     Preparation, QuantConfig, Roles, SearchOptions, Tensor, prepare, quantize_and_save,
//! };
//! use std::sync::Arc;
//!
//! let text = "\
//! model example opset 17
//! %x = input : f32[N,2]
//! %w = const [1.0, -0.5, 0.25, 2.0] : f32[2,2]
//! %h = MatMul(%x, %w) @first
//! %r = Relu(%h)
//! %v = const [0.5, 1.0, -1.0, 0.75] : f32[2,2]
//! %y = MatMul(%r, %v) @second
//! return %y
//! ";
//! let model: Model = text.parse()?;
//! let samples = Tensor::new(&[3, 2], vec![1.0f32, -2.0, 0.5, 1.5, -1.0, 0.25]);
//! let data = DataSet::new("samples", [("x".to_owned(), samples.into())].into());
//! let mut calibration = data.feed(&model, &Feeding::default())?;
//!
//! let (metric, goal) = Goal::parse("sqnr>=30", MaxDrop::Absolute(0.0))?;
//! let interpreter = Arc::new(Interpreter::default());
//! let original = OriginalModel::new(interpreter.clone(), &model)?;
//! let mut scorer = DataScorer::new(original, calibration.clone(), &data, vec![metric])?;
//!
//! let prepared = prepare(&model, &Preparation::default(), &mut ())?;
//! let float = FloatModel::new(&prepared, &*interpreter)?;
//! let config = QuantConfig::for_model(prepared.model());
//! let mut strategy = Minimal;
//! let roles = Roles {
//!     data: &mut calibration,
//!     scorer: &mut scorer,
//!     judge: &mut Goals::new(vec![goal]),
//!     observer: &mut (),
//! };
//! let folder = tempfile::tempdir().expect("a temporary folder");
//! let files = OutputFiles::new(&folder.path().join("example"));
//! let options = SearchOptions::new(&mut strategy);
//! let report = quantize_and_save(&float, &model, &config, roles, options, &files)?;
//! assert!(report.is_met() && files.first_deploy().exists());
//! # Ok::<(), intact8::Error>(())
//! ```

// The command calls the library as other programs do.
#[cfg(feature = "cli")]
extern crate self as intact8;

mod amct;
mod answer_changes;
mod candidates;
mod chance;
mod chosen_runtime;
#[cfg(feature = "cli")]
mod cli;
mod compare;
mod confidence;
mod config_choice;
mod conversion;
pub mod data;
mod destination;
mod draft;
mod dump;
mod emission;
mod fastest_config;
mod file_hash;
mod files;
mod goal;
mod html_report;
mod inspect;
mod journal;
mod judge;
mod kernel_choice;
mod latency;
mod latency_comparison;
mod layer_details;
mod layer_graph;
mod layer_map;
mod layer_measurements;
mod layer_plan;
mod layer_selection;
mod layer_times;
mod machine_memory;
mod meter;
mod model_properties;
mod named_passes;
mod new_config;
mod output_files;
mod peak_memory;
mod quantize;
mod quantize_candidates;
mod random_inputs;
mod report;
mod run_profile;
mod run_report;
mod save_lock;
mod score_saved;
mod scorer;
mod shards;
mod stop;
mod stored_arithmetic;
mod temporary;
mod text_files;
mod watcher;

pub use amct::{
    Evaluator, SensitivityChoice, StrategyChoice, accuracy_based_auto_calibration, create_quant_config,
    create_quant_config_from, load_config, quantize_model,
};
pub use answer_changes::AnswerChanges;
pub use candidates::Candidates;
pub use chance::Chance;
pub use chosen_runtime::ChosenRuntime;
#[cfg(feature = "cli")]
pub use cli::run_command;
pub use compare::{Difference, compare, compare_in};
pub use confidence::{Confidence, Interval, interval_of_difference};
pub use config_choice::{ConfigChoice, Restricted, WithoutStages, groups_of_layers};
pub use conversion::{convert_model, convert_qat_model};
pub use destination::is_standard_output;
pub use dump::dump_replay;
pub use emission::{DeploySize, deploy_sizes};
pub use fastest_config::{BatchLatencies, ConfigLatencies};
pub use file_hash::{file_sha256, model_sha256};
pub use files::{load_model, load_model_with_hard_links, model_bytes, save_model, saved_bytes, write_file};
pub use goal::{Goal, MaxDrop, Target};
pub use html_report::html_report;
pub use inspect::{InspectedLayer, Inspection, inspect};
pub use intact8_calibrate as calibrate;
pub use intact8_calibrate::{BoxError, CalibrationData, FloatModel};
pub use intact8_infer as infer;
pub use intact8_interp::{Data, Input, Interpreter, Limits, Session};
pub use intact8_ir as ir;
pub use intact8_ir::{Error, ErrorKind, Model, Result, Tensor};
pub use intact8_onnx as onnx;
pub use intact8_quant as quant;
pub use intact8_quant::costs::{int8_share, multiply_adds, sample_shapes};
pub use intact8_quant::deploy::PROFILES;
pub use intact8_quant::{
    Arithmetic, DeployFormat, Emission, LayerArithmetic, LayerCounts, Preference, Preparation, Prepared,
    Profile, QuantConfig, Quantized, Record,
};
pub use intact8_runtimes as runtimes;
pub use intact8_search as search;
pub use intact8_search::sensitivity::CosineSimilarity;
pub use intact8_search::strategy::{BinarySearch, Minimal, WorstFirst};
pub use intact8_search::{
    Judge, Report, Roles, Scorer, Scoring, SearchObserver, SearchOptions, Sensitivity, Strategy, Verdict,
};
pub use journal::Journal;
pub use judge::Goals;
pub use kernel_choice::choose_kernels;
pub use latency::{Budget, Latency, TimedModel, interleaved};
pub use latency_comparison::{LatencyComparison, LatencyPair};
pub use layer_details::{LayerDetail, PreparationDetail};
pub use layer_graph::{GraphNode, LayerGraph};
pub use layer_measurements::{LayerLatency, LayerMeasurements, LayerNoise, LayerProfiling};
pub use layer_plan::{LayerPlan, layer_plans};
pub use layer_selection::LayerSelection;
pub use machine_memory::{LEAST_CALIBRATION_MEMORY, calibration_memory, machine_limits, machine_memory};
pub use meter::Meter;
pub use named_passes::{NAMED_PASSES, NamedPass};
pub use new_config::NewConfig;
pub use output_files::OutputFiles;
pub use quantize::{
    UnscoredResult, calibrate_and_save, leave_unreached, prepare, quantize_and_save, save_calibrated,
    save_report,
};
pub use quantize_candidates::{CandidateResult, CandidateRoles, CandidateSearch, JournalOf};
pub use random_inputs::random_inputs;
pub use report::{interval, interval_of_value, names_by_rank, report_json, trials_per_second};
pub use run_profile::{NodeTime, Peak, RunProfile};
pub use run_report::{RunFacts, SCHEMA_VERSION, UnscoredRun, WrittenReport};
pub use save_lock::SaveLock;
pub use score_saved::score_saved;
pub use scorer::{
    AnyScorer, CommandScorer, DataScorer, Effort, OriginalModel, Score, Verified, VerifiedScorer,
    WorkerFolder,
};
pub use shards::{
    CalibrationFile, CalibrationTask, DataIdentity, ScoreFile, ScoreTask, merge_shards, shard_of_environment,
};
pub use stop::Stop;
pub use stored_arithmetic::stored_arithmetic;
pub use temporary::remove_leftovers;
pub use text_files::{load_any_model, save_any_model};
pub use watcher::{Progress, Watcher, shortened};

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
