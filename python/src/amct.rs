//! The calls of AMCT, with an evaluator in Python.

use crate::detached::detached;
use crate::errors::{OrRaise, exception};
use crate::model::Model as PythonModel;
use crate::progress::Raised;
use crate::scorer::Ending;
use crate::strategy::{GivenSensitivity, GivenStrategy};
use crate::tensor::GivenTensor;
use intact8::calibrate::BoxError;
use intact8::quant::deploy::check_is_float;
use intact8::{
    Evaluator, Model, Preparation, QuantConfig, SensitivityChoice, Stop, StrategyChoice, Tensor, Verdict,
    accuracy_based_auto_calibration, prepare, quantize_model, save_model,
};
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

/// Batches of inputs from Python.
type GivenBatches = Vec<Vec<GivenTensor>>;

/// The files of a search, and what ranks and chooses layers.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct AutoCalibration {
    config_file: PathBuf,
    record_file: PathBuf,
    save_path: PathBuf,
    strategy: Py<PyAny>,
    sensitivity: Py<PyAny>,
    /// Whether deploy models and written files are scored too.
    scores_files: bool,
}

/// Whether a model meets the target, the layers in float, and the verdict and loss of each trial.
type SearchResult = (bool, Vec<String>, Vec<(bool, f64)>);

/// The name of a node that is no layer, with the reason.
type Refused = (String, String);

/// Quantizes a model as far as an evaluator allows. The evaluator has `calibration(batch_num)`, which returns the batches,
/// `evaluate(path)`, which receives None for the original, and `metric_eval(original, quantized)`. Returns whether a model meets the
/// target, the layers in float, and the losses of the trials.
#[pyfunction]
pub(crate) fn auto_calibration(
    py: Python<'_>,
    model: &PythonModel,
    evaluator: Py<PyAny>,
    call: AutoCalibration,
) -> PyResult<SearchResult> {
    let ending = Ending { stop: Stop::default(), raised: Raised::default() };
    let strategy = GivenStrategy::of(call.strategy.bind(py))?.or_raise(py)?;
    let sensitivity = GivenSensitivity::of(call.sensitivity.bind(py), &ending)?.or_raise(py)?;
    let outcome = detached(py, || run(&model.model, evaluator, &call, strategy, &sensitivity, &ending));
    if let Some(raised) = ending.raised.take() {
        return Err(raised);
    }
    outcome.map_err(|error| exception(py, &error))
}

fn run(
    model: &Model,
    evaluator: Py<PyAny>,
    call: &AutoCalibration,
    strategy: GivenStrategy,
    sensitivity: &GivenSensitivity,
    ending: &Ending,
) -> intact8::Result<SearchResult> {
    let config = intact8::load_config(&call.config_file)?;
    check_is_float(model)?;
    // The strategy needs the names of the layers.
    let prepared = prepare(model, &Preparation::of(&config), &mut ())?;
    let mut strategy = strategy.strategy(prepared.layers(), ending)?;
    let folder = tempfile::Builder::new().prefix("intact8-").tempdir().map_err(intact8::Error::io)?;
    let mut evaluator = PythonEvaluator {
        evaluator,
        batches: None,
        is_first: true,
        folder,
        scores_files: call.scores_files,
        ending: ending.clone(),
    };
    let report = accuracy_based_auto_calibration(
        model,
        &mut evaluator,
        &call.config_file,
        &call.record_file,
        &call.save_path,
        StrategyChoice::Instance(&mut *strategy),
        SensitivityChoice::Instance(sensitivity.sensitivity()),
    )?;
    let in_float =
        report.outcome.as_ref().map_or_else(Vec::new, |outcome| report.table.names(&outcome.rolled_back));
    let trials = report.history.iter().map(|trial| (trial.verdict.satisfied, trial.verdict.loss));
    Ok((report.is_met(), in_float, trials.collect()))
}

/// An evaluator in Python.
struct PythonEvaluator {
    evaluator: Py<PyAny>,
    /// The batches, once the evaluator was asked for them.
    batches: Option<Vec<Vec<Tensor>>>,
    /// Whether the next model is the original.
    is_first: bool,
    folder: tempfile::TempDir,
    scores_files: bool,
    ending: Ending,
}

impl PythonEvaluator {
    fn call<T>(&self, call: impl FnOnce(Python<'_>, &Py<PyAny>) -> PyResult<T>) -> Result<T, BoxError> {
        Python::attach(|py| call(py, &self.evaluator).map_err(|exception| self.ending.error(py, exception)))
    }

    /// Ends the run if there is a signal.
    fn check_signals(&self) {
        if let Err(exception) = Python::attach(|py| py.check_signals()) {
            self.ending.raised.set(exception);
            self.ending.stop.cancel();
        }
    }
}

impl Evaluator for PythonEvaluator {
    type Metric = Arc<Py<PyAny>>;

    fn calibration(
        &mut self,
        batch_num: usize,
        forward: &mut dyn FnMut(&[Tensor]) -> intact8::Result<()>,
    ) -> Result<(), BoxError> {
        if self.batches.is_none() {
            let given: GivenBatches = self
                .call(|py, evaluator| evaluator.call_method1(py, "calibration", (batch_num,))?.extract(py))?;
            let tensors = given.into_iter().map(|batch| batch.into_iter().map(|tensor| tensor.0).collect());
            self.batches = Some(tensors.collect());
        }
        for batch in self.batches.iter().flatten() {
            self.check_signals();
            self.ending.stop.check()?;
            forward(batch)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, model: &Model) -> Result<Arc<Py<PyAny>>, BoxError> {
        let path =
            (!std::mem::take(&mut self.is_first)).then(|| self.folder.path().join("fake_quant_model.onnx"));
        if let Some(path) = &path {
            save_model(model, path)?;
        }
        self.call(|py, evaluator| evaluator.call_method1(py, "evaluate", (path,)).map(Arc::new))
    }

    fn metric_eval(
        &mut self,
        original: &Arc<Py<PyAny>>,
        quantized: &Arc<Py<PyAny>>,
    ) -> Result<Verdict, BoxError> {
        let (satisfied, loss): (bool, f64) = self.call(|py, evaluator| {
            let metrics = (original.clone_ref(py), quantized.clone_ref(py));
            evaluator.call_method1(py, "metric_eval", metrics)?.extract(py)
        })?;
        Ok(Verdict { satisfied, loss })
    }

    fn scores_files(&self) -> bool {
        self.scores_files
    }

    fn is_cancelled(&mut self) -> bool {
        self.check_signals();
        self.ending.stop.is_cancelled()
    }
}

/// Calibrates on batches and writes the models, as AMCT's `quantize_model` and `save_model` do.
#[pyfunction]
pub(crate) fn calibrate_and_save(
    py: Python<'_>,
    model: &PythonModel,
    batches: GivenBatches,
    config_file: PathBuf,
    record_file: PathBuf,
    save_path: PathBuf,
) -> PyResult<()> {
    let tensors = batches.into_iter().map(|batch| batch.into_iter().map(|tensor| tensor.0).collect());
    let mut batches: Vec<Vec<Tensor>> = tensors.collect();
    let saved =
        || quantize_model(&model.model, &mut batches, &config_file, &record_file, &save_path).map(drop);
    detached(py, saved).or_raise(py)
}

/// The layers of a model's default configuration, and the other nodes that could be layers with the reasons why they are not.
#[pyfunction]
pub(crate) fn layer_names(py: Python<'_>, model: &PythonModel) -> PyResult<(Vec<String>, Vec<Refused>)> {
    let names = || {
        let prepared = prepare(&model.model, &Preparation::default(), &mut ())?;
        let usable: Vec<String> = QuantConfig::for_model(prepared.model()).layers.into_keys().collect();
        let others = intact8::inspect(&model.model)?.layers.into_iter();
        let others = others.filter(|layer| !usable.contains(&layer.name)).map(|layer| {
            (layer.name, layer.refusal.unwrap_or_else(|| "it gains nothing in int8".to_owned()))
        });
        let others = others.collect();
        Ok((usable, others))
    };
    detached(py, names).or_raise(py)
}
