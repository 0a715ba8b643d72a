//! Scorers in Python: a function of a model's path or session, and metrics of the caller's own over a data set.

use crate::model::Model as PythonModel;
use crate::progress::Raised;
use crate::session::NativeSession;
use crate::tensor::to_python;
use intact8::calibrate::BoxError;
use intact8::data::{Contributions, OwnMetric, OwnTally};
use intact8::ir::Tensor;
use intact8::quant::{Deployed, emit_fake_quant};
use intact8::search::{SavedModel, Subject};
use intact8::{
    ChosenRuntime, DeployFormat, Emission, Error, Interpreter, Model, Score, Scorer, Scoring, Stop,
    save_model,
};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Ends a run early, with the exception that the caller gets.
#[derive(Clone)]
pub(crate) struct Ending {
    pub(crate) stop: Stop,
    pub(crate) raised: Raised,
}

impl Ending {
    /// The error for an exception of the caller's function. KeyboardInterrupt ends the run with the best result so far.
    pub(crate) fn error(&self, py: Python<'_>, exception: PyErr) -> BoxError {
        if !exception.is_instance_of::<PyKeyboardInterrupt>(py) {
            return exception.into();
        }
        self.raised.set(exception);
        self.stop.cancel();
        Error::cancelled("interrupted before the first trial was finished; there is no result").into()
    }
}

/// A scorer that calls a function with the path of a model, or with its session; the function returns a number for each goal.
pub(crate) struct FunctionScorer {
    /// Receives the path, or the session.
    pub(crate) function: Py<PyAny>,
    /// Whether it receives sessions.
    pub(crate) takes_session: bool,
    /// The file of the original, if it was read from one.
    pub(crate) original: Option<PathBuf>,
    /// The folder of temporary files.
    pub(crate) folder: tempfile::TempDir,
    pub(crate) interpreter: Arc<Interpreter>,
    pub(crate) runtime: Option<ChosenRuntime>,
    pub(crate) emission: Emission,
    pub(crate) ending: Ending,
    pub(crate) n_scored: usize,
}

impl FunctionScorer {
    fn of_path(&mut self, path: &Path) -> Result<Score, BoxError> {
        self.call(|py| Ok(path.as_os_str().into_pyobject(py)?.into_any().unbind()))
    }

    fn of_session(&mut self, model: &Model) -> Result<Score, BoxError> {
        let session = NativeSession::of(model, &self.interpreter, self.runtime.as_ref())?;
        self.call(|py| Ok(Py::new(py, session)?.into_any()))
    }

    fn call(&self, target: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>>) -> Result<Score, BoxError> {
        let began = Instant::now();
        let values = Python::attach(|py| {
            let called =
                target(py).and_then(|target| self.function.call1(py, (target,))?.extract::<Vec<f64>>(py));
            called.map_err(|exception| self.ending.error(py, exception))
        })?;
        let mut score = Score::of(values);
        score.effort.seconds = began.elapsed().as_secs_f64();
        Ok(score)
    }

    /// A model in a temporary file, which is removed after the call.
    fn of_temporary(&mut self, model: &Model) -> Result<Score, BoxError> {
        self.n_scored += 1;
        let path = self.folder.path().join(format!("candidate_{}.onnx", self.n_scored));
        save_model(model, &path)?;
        let score = self.of_path(&path);
        drop(std::fs::remove_file(&path));
        drop(std::fs::remove_file(path.with_extension("onnx.data")));
        score
    }

    fn of_deployed(&mut self, deployed: &Deployed) -> Result<Score, BoxError> {
        let model = match deployed.format() {
            DeployFormat::Ascend => Cow::Owned(deployed.standard()?),
            _ => Cow::Borrowed(deployed.model()),
        };
        match (self.takes_session, &self.runtime) {
            (false, _) => self.of_temporary(&model),
            (true, Some(_)) => self.of_session(&model),
            (true, None) => self.of_session(&deployed.executed()?),
        }
    }
}

impl Scorer for FunctionScorer {
    type Score = Score;

    fn score(&mut self, subject: Subject<'_>, scoring: &mut Scoring<'_, Score>) -> Result<Score, BoxError> {
        (scoring.progress)(0, 1)?;
        match subject {
            Subject::Original(model) if self.takes_session => self.of_session(model),
            Subject::Original(model) => match self.original.clone() {
                Some(path) => self.of_path(&path),
                None => self.of_temporary(model),
            },
            Subject::Trial { deployed: Some(deployed), .. } => self.of_deployed(deployed),
            Subject::Trial { quantized, deployed: None, .. } if self.takes_session => {
                self.of_session(quantized.fake_quant())
            }
            Subject::Trial { quantized, deployed: None, .. } => {
                let mut model = quantized.fake_quant().clone();
                emit_fake_quant(self.emission.target).run(&mut model)?;
                self.of_temporary(&model)
            }
            Subject::Saved { model: SavedModel::FakeQuant { model, .. }, .. } if self.takes_session => {
                self.of_session(model)
            }
            Subject::Saved { path, model: SavedModel::Deployed(deployed) } => {
                match self.takes_session || deployed.format() == DeployFormat::Ascend {
                    true => self.of_deployed(deployed),
                    false => self.of_path(path),
                }
            }
            Subject::Saved { path, .. } => self.of_path(path),
        }
    }
}

/// A metric of the caller's own: `begin()` returns an object with `add(outputs, samples)` and `value()`.
pub(crate) struct PythonMetric {
    pub(crate) begin: Py<PyAny>,
    pub(crate) ending: Ending,
}

impl OwnMetric for PythonMetric {
    fn begin(&self) -> Box<dyn OwnTally> {
        let tally = Python::attach(|py| self.begin.call0(py));
        Box::new(PythonTally { tally, ending: self.ending.clone() })
    }
}

struct PythonTally {
    /// The object, or the exception of its constructor.
    tally: PyResult<Py<PyAny>>,
    ending: Ending,
}

impl PythonTally {
    fn call<T>(&self, method: impl FnOnce(Python<'_>, &Py<PyAny>) -> PyResult<T>) -> Result<T, BoxError> {
        Python::attach(|py| {
            let outcome = match &self.tally {
                Ok(tally) => method(py, tally),
                Err(exception) => Err(exception.clone_ref(py)),
            };
            outcome.map_err(|exception| self.ending.error(py, exception))
        })
    }
}

impl OwnTally for PythonTally {
    fn add(&mut self, outputs: &[Tensor], samples: &[usize]) -> Result<Option<Contributions>, BoxError> {
        self.call(|py, tally| {
            let outputs = outputs.iter().map(|output| to_python(py, output)).collect::<PyResult<Vec<_>>>()?;
            let found = tally.call_method1(py, "add", (PyList::new(py, outputs)?, samples.to_vec()))?;
            let found: Option<(Vec<f64>, bool, f64, f64)> = found.extract(py)?;
            Ok(found.map(|(values, are_counts, low, high)| Contributions {
                values,
                are_counts,
                bounds: [low, high],
            }))
        })
    }

    fn value(&mut self) -> Result<f64, BoxError> {
        self.call(|py, tally| tally.call_method0(py, "value")?.extract(py))
    }
}

/// The path of a model's file, or where it has none that of a copy in a folder.
pub(crate) fn path_of(model: &PythonModel, folder: &Path) -> intact8::Result<PathBuf> {
    match &model.path {
        Some(path) => Ok(path.clone()),
        None => {
            let path = folder.join("model.onnx");
            save_model(&model.model, &path)?;
            Ok(path)
        }
    }
}
