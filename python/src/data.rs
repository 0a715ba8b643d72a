//! Data sets: arrays, files, and batches that are recorded as they come.

use crate::detached::detached;
use crate::errors::OrRaise;
use crate::model::Model;
use crate::tensor::{NamedTensors, to_python};
use intact8::data::{BatchAxis, Feed, Feeding, ImageSettings, RecordedBatches};
use intact8::{Tensor, machine_limits};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::path::PathBuf;

/// Arrays with the samples of a data set.
#[pyclass(frozen, module = "intact8._native")]
pub(crate) struct DataSet {
    pub(crate) data: intact8::data::DataSet,
}

/// The arrays of a file, with their names.
type NamedArrays<'py> = Vec<(String, Bound<'py, PyTuple>)>;

#[pymethods]
impl DataSet {
    /// Reads files of arrays, raw files or images.
    #[staticmethod]
    fn read(py: Python<'_>, path: PathBuf, model: &Model, feeding: GivenFeeding) -> PyResult<DataSet> {
        let read = || intact8::data::DataSet::read_for(&path, &model.model, &feeding.feeding()?);
        Ok(DataSet { data: detached(py, read).or_raise(py)? })
    }

    /// For each file the arrays that are none of a model's inputs.
    fn others<'py>(&self, py: Python<'py>, model: &Model) -> PyResult<Vec<NamedArrays<'py>>> {
        let others = detached(py, || self.data.others(&model.model)).or_raise(py)?;
        let packed = |(name, tensor): (String, Tensor)| Ok((name, to_python(py, &tensor)?));
        others.into_iter().map(|part| part.into_iter().map(packed).collect()).collect()
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
    resize: Option<String>,
    crop: Option<String>,
    interpolation: Option<String>,
    layout: Option<String>,
    channels: Option<String>,
    classes: Option<PathBuf>,
    raw_shapes: Vec<String>,
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
            images: ImageSettings {
                resize: self.resize.as_deref().map(str::parse).transpose()?,
                crop: self.crop.as_deref().map(str::parse).transpose()?,
                interpolation: self.interpolation.as_deref().map(str::parse).transpose()?.unwrap_or_default(),
                layout: self.layout.as_deref().map(str::parse).transpose()?,
                channels: self.channels.as_deref().map(str::parse).transpose()?,
                classes: self.classes.clone(),
            },
            raw_shapes: self.raw_shapes.iter().map(|text| text.parse()).collect::<intact8::Result<_>>()?,
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
