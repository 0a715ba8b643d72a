//! The arguments of `quantize`, as the Python module beside passes them.

use crate::data::{DataSet, GivenFeeding};
use crate::model::Model;
use crate::session::Runtime;
use pyo3::prelude::*;
use std::path::PathBuf;

/// What to quantize, and how. The Python module beside checks and documents it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Request {
    pub(crate) model: Py<Model>,
    pub(crate) calibration: Py<DataSet>,
    pub(crate) feeding: GivenFeeding,
    /// Folder and prefix of the written files.
    pub(crate) save: PathBuf,
    pub(crate) config: Option<PathBuf>,
    pub(crate) batch_num: Option<usize>,
    pub(crate) skip: Vec<String>,
    pub(crate) only: Vec<String>,
    pub(crate) skip_types: Vec<String>,
    pub(crate) groups: Vec<Vec<String>>,
    pub(crate) prefer: String,
    pub(crate) target: String,
    pub(crate) deploy: Vec<String>,
    pub(crate) contrib: bool,
    /// The stages to go without: `equalize`, `balance`, `correct_bias` and `fit_rounding`.
    pub(crate) without: Vec<String>,
    pub(crate) runtime: Option<Py<Runtime>>,
    pub(crate) measures_latency: bool,
    /// The threads of the measured runs.
    pub(crate) threads: usize,
    pub(crate) callback: Option<Py<PyAny>>,
    pub(crate) search: Option<SearchRequest>,
}

/// The search; there is none if nothing is scored.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct SearchRequest {
    /// The goals: metrics with their targets.
    pub(crate) goals: Vec<String>,
    pub(crate) max_drop: String,
    /// `higher` or `lower`, for metrics of the caller's own.
    pub(crate) better: Option<String>,
    pub(crate) confidence: Option<String>,
    pub(crate) allow_chance: bool,
    /// The data of metrics.
    pub(crate) evaluation: Option<Py<DataSet>>,
    /// The function of a model, or the function that begins a metric.
    pub(crate) function: Option<Py<PyAny>>,
    /// `path`, `session` or `metric`; `data` for built-in metrics.
    pub(crate) kind: String,
    pub(crate) strategy: Py<PyAny>,
    pub(crate) sensitivity: Py<PyAny>,
    pub(crate) ladder: Vec<String>,
    pub(crate) max_trials: Option<usize>,
    pub(crate) time_budget: Option<f64>,
    pub(crate) early_stop: bool,
    pub(crate) keep_best: bool,
}
