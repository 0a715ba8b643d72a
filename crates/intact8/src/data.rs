//! Data sets and metrics: named arrays in `.npz`, `.npy`, `.safetensors` and raw files, and images, which are cut into batches for a
//! model, and the metrics over its outputs.

mod array;
mod batch_axis;
mod conversion;
mod fed_part;
mod feed;
mod finite;
mod folder;
mod images;
mod metric;
mod npy;
mod npz;
mod raw;
mod recorded;
mod rows;
mod safetensors;

pub use array::Array;
pub use batch_axis::BatchAxis;
pub(crate) use feed::UnusedOption;
pub use feed::{FedInput, Feed, Feeding, ValueRange, check_options};
pub use images::{Channels, ImageSettings, Interpolation, Layout, Resize, Size};
pub(crate) use metric::{Batch, Tally, TallySamples, labels, noise, noise_of_mean, numbers};
pub use metric::{
    Better, Contributions, METRICS, Metric, MetricRow, Noise, OwnMetric, OwnTally, Truth, UNBOUNDED,
    metric_named,
};
pub use npz::{read_npz, write_npz};
pub use raw::RawShape;
pub use recorded::RecordedBatches;
pub(crate) use rows::Rows;
pub use rows::{stacked, trimmed};

use finite::first_not_finite;
use intact8_interp::Input;
use intact8_ir::{Error, Model, Result, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Named arrays of samples, in memory or in files.
#[derive(Debug, Clone)]
pub struct DataSet {
    source: String,
    parts: Vec<Part>,
    /// Whether the parts are the files of a folder, which hold a sample or a batch each.
    is_folder: bool,
    /// Remarks for the user on how the data were read.
    notes: Vec<String>,
    /// The options for data that had no effect on reading them.
    unused: Vec<UnusedOption>,
}

/// The arrays of a file, or of a data set in memory.
#[derive(Debug, Clone)]
struct Part {
    /// The source of the arrays, for messages.
    source: String,
    arrays: Arrays,
}

#[derive(Debug, Clone)]
enum Arrays {
    Named(BTreeMap<String, Array>),
    /// The array of an `.npy` file, for a model with one input.
    Unnamed(Array),
}

impl Part {
    /// The array with a name.
    fn named(&self, name: &str) -> Option<&Array> {
        match &self.arrays {
            Arrays::Named(arrays) => arrays.get(name),
            Arrays::Unnamed(_) => None,
        }
    }

    /// Whether another part has arrays of the same names, types and shapes.
    fn has_layout_of(&self, other: &Part) -> bool {
        let same = |a: &Array, b: &Array| a.layout().ok() == b.layout().ok();
        match (&self.arrays, &other.arrays) {
            (Arrays::Named(a), Arrays::Named(b)) => {
                a.keys().eq(b.keys()) && a.values().zip(b.values()).all(|(a, b)| same(a, b))
            }
            (Arrays::Unnamed(a), Arrays::Unnamed(b)) => same(a, b),
            _ => false,
        }
    }
}

impl DataSet {
    /// A data set of arrays by name, each with all samples. `source` is for messages.
    pub fn new(source: impl Into<String>, arrays: BTreeMap<String, Array>) -> DataSet {
        let source = source.into();
        let part = Part { source: source.clone(), arrays: Arrays::Named(arrays) };
        DataSet { source, parts: vec![part], is_folder: false, notes: vec![], unused: vec![] }
    }

    /// Reads an `.npz` or `.safetensors` file with named arrays, an `.npy` file with the array of the only input, or a folder of such
    /// files, sorted by name, each with a sample or a batch. Of each file only the headers are read.
    ///
    /// # Errors
    /// If a file can't be read or is of another format, or a folder has none.
    pub fn read(path: &Path) -> Result<DataSet> {
        folder::read(path)
    }

    /// The same for a model, whose data may also be raw files or images.
    ///
    /// Raw: `x.bin`, or a folder of such files, for several inputs in their order and separated by `;`, with the elements of an input,
    /// little-endian and row-major, without shape and type.
    ///
    /// Images, for a model with one input: an image, a folder of them, a folder with a folder for each class, or a `.csv` with a line
    /// `file,label` for each. They are decoded when they are fed, as arrays of uint8; the labels are the array `labels`.
    ///
    /// # Errors
    /// As [`DataSet::read`]; if there are raw files for fewer or more inputs, an input has no fixed shape, or a file does not hold
    /// whole samples; if the input takes no images of one size, a folder holds other data too, or the files or labels of a table are
    /// wrong.
    pub fn read_for(path: &Path, model: &Model, feeding: &Feeding) -> Result<DataSet> {
        let is_raw = raw::is_raw(path);
        let is_images = !is_raw && images::is_listing(path);
        let mut data = match (is_raw, is_images) {
            (true, _) => {
                let arrays = raw::read_raw(path, &Input::all_of(model), &feeding.raw_shapes)?;
                DataSet::new(path.display().to_string(), arrays)
            }
            (_, true) => images::read(path, model, &feeding.images)?,
            _ => DataSet::read(path)?,
        };
        let of_images = feeding.images.given().into_iter().filter(|_| !is_images);
        let of_raw = (!is_raw && !feeding.raw_shapes.is_empty()).then_some(("--raw-shape", "no raw files"));
        for (option, lacking) in of_images.map(|option| (option, "no images")).chain(of_raw) {
            data.unused.push(UnusedOption { option, reason: format!("{} holds {lacking}", data.source) });
        }
        Ok(data)
    }

    /// The samples for a model. Inputs with a default need no array.
    ///
    /// # Errors
    /// If an array is missing or does not fit its input, bytes are fed to a float input without means and deviations or with such
    /// for values from 0 to 1, the arrays hold different numbers of samples or none, the batch axis of an input can't be found, or
    /// the batch size is not that of the model.
    pub fn feed(&self, model: &Model, feeding: &Feeding) -> Result<Feed> {
        Feed::new(self, model, feeding)
    }

    /// An array that a metric requires, with one entry for each sample along the first axis; one tensor for each file. If the model
    /// has an input of that name, the metric's array is `metric.<name>`.
    ///
    /// # Errors
    /// If it is missing, can't be read, holds NaN or an infinite number, or has another number of entries than the feed has samples.
    pub fn targets(&self, name: &str, feed: &Feed) -> Result<Vec<Tensor>> {
        let name = feed.metric_array(name);
        let of_part = |(part, &n_samples): (&Part, &usize)| {
            let at = |error: Error| error.at(&part.source);
            let missing = || {
                let message = match name.strip_prefix("metric.") {
                    Some(input) => format!(
                        "has no array {name:?}, which the metric requires; {input:?} is an input of the model"
                    ),
                    None => format!("has no array {name:?}, which the metric requires"),
                };
                at(Error::invalid_data(message))
            };
            let array = part.named(&name).ok_or_else(missing)?;
            let shape = array.layout().map_err(|error| at(error.at(&name)))?.1;
            // The array of one sample may lack the first axis.
            let of_one = self.is_folder && n_samples == 1 && shape.first() != Some(&1);
            let shape: Vec<usize> = if of_one { [&[1], shape].concat() } else { shape.to_vec() };
            match shape.first() {
                Some(&n) if n == n_samples => {
                    let tensor = array.whole().map_err(|error| at(error.at(&name)))?;
                    if let Some((position, number)) = first_not_finite(&tensor) {
                        let sample = position / (tensor.len() / n).max(1);
                        let message = format!(
                            "sample {sample} (from 0) holds {number}; correct the data, or leave the sample out"
                        );
                        return Err(at(Error::invalid_data(message).at(format!("array {name:?}"))));
                    }
                    Ok(tensor.reshaped(&shape).expect("a dimension of 1 adds no elements"))
                }
                found => {
                    let n_targets = found.copied().unwrap_or(1);
                    Err(at(Error::invalid_data(format!("has {n_samples} samples and {n_targets} {name}"))))
                }
            }
        };
        self.parts.iter().zip(&feed.samples_of_parts()).map(of_part).collect()
    }

    /// Whether every file has an array that a metric may use.
    pub(crate) fn has_targets(&self, name: &str, feed: &Feed) -> bool {
        let name = feed.metric_array(name);
        self.parts.iter().all(|part| part.named(&name).is_some())
    }

    /// For each file the arrays that are none of a model's inputs, such as labels.
    ///
    /// # Errors
    /// If one can't be read.
    pub fn others(&self, model: &Model) -> Result<Vec<Vec<(String, Tensor)>>> {
        let inputs = Input::all_of(model);
        let of_part = |part: &Part| {
            let Arrays::Named(arrays) = &part.arrays else { return Ok(vec![]) };
            let others = arrays.iter().filter(|(name, _)| inputs.iter().all(|input| input.name != **name));
            let whole = |(name, array): (&String, &Array)| {
                let tensor =
                    array.whole().map_err(|error| error.at(format!("array {name:?}")).at(&part.source))?;
                Ok((name.clone(), tensor))
            };
            others.map(whole).collect()
        };
        self.parts.iter().map(of_part).collect()
    }

    /// The source of the data, for messages.
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// The files and folders that a path of data stands for: raw files, the images and the table that names them, or the path itself.
///
/// # Errors
/// If they can't be listed.
pub fn data_files(path: &Path) -> Result<Vec<PathBuf>> {
    match () {
        () if raw::is_raw(path) => raw::files(path),
        () if images::is_listing(path) && !path.is_dir() => images::files(path),
        () => Ok(vec![path.to_owned()]),
    }
}
