//! Data sets: arrays, files, and batches that are recorded as they come.

use crate::detached::detached;
use crate::errors::OrRaise;
use crate::model::Model;
use crate::tensor::NamedTensors;
use intact8::data::{BatchAxis, Feed, Feeding, RecordedBatches};
use intact8::{Tensor, machine_limits};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::path::PathBuf;

/// Arrays with the samples of a data set.
#[pyclass(frozen, module = "intact8._native")]
pub(crate) struct DataSet {
    pub(crate) data: intact8::data::DataSet,
}

#[pymethods]
impl DataSet {
    /// Reads an .npz, .npy or raw file, or a folder of such files.
    #[staticmethod]
    fn read(py: Python<'_>, path: PathBuf, model: &Model) -> PyResult<DataSet> {
        let data = detached(py, || intact8::data::DataSet::read_for(&path, &model.model)).or_raise(py)?;
        Ok(DataSet { data })
    }

    /// Arrays in memory, each with all samples. `source` is for messages.
    #[staticmethod]
    fn of_arrays(source: String, arrays: NamedTensors) -> DataSet {
        let arrays = arrays.into_iter().map(|(name, tensor)| (name, tensor.0.into())).collect();
        DataSet { data: intact8::data::DataSet::new(source, arrays) }
    }

    /// The number of samples, as they are fed to a model.
    fn n_samples(&self, py: Python<'_>, model: &Model, feeding: GivenFeeding) -> PyResult<usize> {
        let feed = detached(py, || self.data.feed(&model.model, &feeding.feeding()?)).or_raise(py)?;
        Ok(feed.n_samples())
    }
}

impl DataSet {
    /// The samples for a model.
    pub(crate) fn feed(&self, model: &intact8::Model, feeding: &GivenFeeding) -> intact8::Result<Feed> {
        let feed = self.data.feed(model, &feeding.feeding()?)?;
        feed.check_memory(machine_limits().memory)?;
        Ok(feed)
    }
}

/// Batches that are recorded in a temporary file as they come.
#[pyclass(module = "intact8._native")]
pub(crate) struct Recorder {
    batches: Option<RecordedBatches>,
}

#[pymethods]
impl Recorder {
    #[new]
    fn new(py: Python<'_>, source: String) -> PyResult<Recorder> {
        Ok(Recorder { batches: Some(RecordedBatches::new(source).or_raise(py)?) })
    }

    /// Records a batch: one array for each input, and those of metrics.
    fn add(&mut self, py: Python<'_>, arrays: NamedTensors) -> PyResult<()> {
        py.check_signals()?;
        let batches = self.batches.as_mut().ok_or_else(finished)?;
        let arrays = arrays.into_iter().map(|(name, tensor)| (name, tensor.0)).collect();
        detached(py, || batches.add(arrays)).or_raise(py)
    }

    /// The batches as a data set; the recorder can't be used any more.
    fn finish(&mut self, py: Python<'_>) -> PyResult<DataSet> {
        let batches = self.batches.take().ok_or_else(finished)?;
        Ok(DataSet { data: batches.finish().or_raise(py)? })
    }
}

fn finished() -> PyErr {
    PyValueError::new_err("the recording is finished")
}

/// How arrays become inputs.
#[derive(FromPyObject, Default)]
#[pyo3(from_item_all)]
pub(crate) struct GivenFeeding {
    batch: Option<usize>,
    batch_axes: Vec<String>,
    mean: Vec<f32>,
    std: Vec<f32>,
    raw_bytes: bool,
}

impl GivenFeeding {
    pub(crate) fn feeding(&self) -> intact8::Result<Feeding> {
        let axes = self.batch_axes.iter().map(|text| text.parse::<BatchAxis>());
        Ok(Feeding {
            batch: self.batch,
            batch_axes: axes.collect::<intact8::Result<_>>()?,
            mean: self.mean.clone(),
            std: self.std.clone(),
            raw_bytes: self.raw_bytes,
        })
    }
}

/// The first batch of a data set for a model, and the number of samples in it.
pub(crate) fn first_batch(
    data: &DataSet,
    model: &intact8::Model,
    feeding: &GivenFeeding,
) -> intact8::Result<(Vec<Tensor>, usize)> {
    let feed = data.feed(model, feeding)?;
    let samples = feed.batches().next().unwrap_or_default();
    Ok((feed.inputs(samples.clone())?, feed.n_fed(&samples)))
}
