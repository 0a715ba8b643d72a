//! Strategies and sensitivities in Python.

use crate::scorer::Ending;
use intact8::calibrate::BoxError;
use intact8::quant::layer::{LayerId, LayerSet, LayerTable};
use intact8::search::sensitivity::sensitivity_named;
use intact8::search::strategy::strategy_named;
use intact8::search::{Ranking, Trial};
use intact8::{Sensitivity, Strategy};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict};

/// A strategy: by name, or an object with `next(ranking, history)`.
pub(crate) enum GivenStrategy {
    Named(String),
    Own(Py<PyAny>),
}

impl GivenStrategy {
    pub(crate) fn of(given: &Bound<'_, PyAny>) -> PyResult<intact8::Result<GivenStrategy>> {
        Ok(match given.extract::<String>() {
            Ok(name) => strategy_named(&name).map(|_| GivenStrategy::Named(name)),
            Err(_) => Ok(GivenStrategy::Own(given.clone().unbind())),
        })
    }

    /// The strategy for the layers of a table.
    pub(crate) fn strategy(self, table: &LayerTable, ending: &Ending) -> intact8::Result<Box<dyn Strategy>> {
        Ok(match self {
            GivenStrategy::Named(name) => Box::new(strategy_named(&name)?),
            GivenStrategy::Own(strategy) => {
                Box::new(PythonStrategy { strategy, table: table.clone(), ending: ending.clone() })
            }
        })
    }
}

/// A strategy in Python. The ranking is a dict from layers to similarities, the most sensitive layer first; the history a list of
/// `(rolled_back, satisfied, loss)`. It returns the layers to roll back, or None to stop.
struct PythonStrategy {
    strategy: Py<PyAny>,
    table: LayerTable,
    ending: Ending,
}

impl Strategy for PythonStrategy {
    fn next(&mut self, ranking: &Ranking, history: &[Trial]) -> Result<Option<LayerSet>, BoxError> {
        let names = |layers: &mut dyn Iterator<Item = &LayerId>| self.table.names(layers);
        let proposed: Option<Vec<String>> = Python::attach(|py| {
            let ask = || {
                let similarities = PyDict::new(py);
                for ranked in &ranking.0 {
                    for name in names(&mut ranked.layers.iter()) {
                        similarities.set_item(name, ranked.similarity)?;
                    }
                }
                let trials: Vec<(Vec<String>, bool, f64)> = history
                    .iter()
                    .map(|trial| {
                        (names(&mut trial.rolled_back.iter()), trial.verdict.satisfied, trial.verdict.loss)
                    })
                    .collect();
                self.strategy.call_method1(py, "next", (similarities, trials))?.extract(py)
            };
            ask().map_err(|exception| self.ending.error(py, exception))
        })?;
        Ok(proposed.map(|names| self.table.ids(&names)).transpose()?)
    }
}

/// A sensitivity: by name, or an object with `similarity(original, quantized)`.
pub(crate) enum GivenSensitivity {
    Named(&'static dyn Sensitivity),
    Own(PythonSensitivity),
}

impl GivenSensitivity {
    pub(crate) fn of(
        given: &Bound<'_, PyAny>,
        ending: &Ending,
    ) -> PyResult<intact8::Result<GivenSensitivity>> {
        Ok(match given.extract::<String>() {
            Ok(name) => sensitivity_named(&name).map(GivenSensitivity::Named),
            Err(_) => Ok(GivenSensitivity::Own(PythonSensitivity {
                sensitivity: given.clone().unbind(),
                ending: ending.clone(),
            })),
        })
    }

    pub(crate) fn sensitivity(&self) -> &dyn Sensitivity {
        match self {
            GivenSensitivity::Named(sensitivity) => *sensitivity,
            GivenSensitivity::Own(sensitivity) => sensitivity,
        }
    }
}

/// A sensitivity in Python, which receives the bytes of two arrays of f32.
pub(crate) struct PythonSensitivity {
    sensitivity: Py<PyAny>,
    ending: Ending,
}

impl Sensitivity for PythonSensitivity {
    fn similarity(&self, original: &[f32], quantized: &[f32]) -> Result<f64, BoxError> {
        Python::attach(|py| {
            let bytes = |values: &[f32]| {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                PyByteArray::new(py, &bytes)
            };
            let compare = || {
                let args = (bytes(original), bytes(quantized));
                self.sensitivity.call_method1(py, "_similarity", args)?.extract::<f64>(py)
            };
            compare().map_err(|exception| self.ending.error(py, exception))
        })
    }
}
