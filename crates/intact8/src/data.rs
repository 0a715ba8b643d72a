//! Data sets, metrics, `.npz` and raw files: named arrays that are cut into batches for a model, and the metrics over its outputs.

mod array;
mod conversion;
mod fed;
mod metric;
mod npz;
mod raw;

pub use array::Array;
pub use fed::{FedInput, ValueRange};
pub(crate) use metric::{Batch, Tally, labels, noise, noise_of_mean, numbers};
pub use metric::{Better, METRICS, Metric, MetricRow, Noise, Truth, metric_named};
pub use npz::{read_npz, write_npz};
pub use raw::{data_files, is_raw, read_raw};

use intact8_calibrate::{BoxError, CalibrationData};
use intact8_interp::Input;
use intact8_ir::{Dim, Error, Result, Tensor, TensorType};
use std::collections::BTreeMap;
use std::ops::Range;

/// Named arrays. Samples are stacked along the first dimension, or along the dimension of an input that has the same symbol as the
/// first dimension of another input. An array without dimensions belongs to every sample.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// The source of the data, for messages.
    pub source: String,
    /// The arrays, by name.
    pub arrays: BTreeMap<String, Array>,
}

/// The options for feeding a data set to a model.
#[derive(Debug, Clone, Default)]
pub struct Feeding {
    /// The number of samples in a batch; `None` is the fixed batch size of the model, or 32.
    pub batch: Option<usize>,
    /// Subtracted from u8 arrays that are fed to a float input: one number, or one for each channel; empty is 0.
    pub mean: Vec<f32>,
    /// The divisor after that: one number, or one for each channel; empty is 1.
    pub std: Vec<f32>,
    /// Whether u8 arrays may be fed to a float input as 0 to 255, without means and deviations.
    pub raw_bytes: bool,
}

/// The samples of a data set in batches for the inputs of a model.
#[derive(Debug, Clone)]
pub struct Feed {
    /// The data of each model input, in order.
    inputs: Vec<InputData>,
    feeding: Feeding,
    batch: usize,
    n_samples: usize,
    /// Whether the batch size is fixed by the model.
    is_fixed: bool,
}

/// The data of one model input.
#[derive(Debug, Clone)]
struct InputData {
    name: String,
    /// The array; it is read and converted batch by batch.
    array: Array,
    ty: Option<TensorType>,
    /// The dimension that counts samples.
    axis: usize,
}

impl InputData {
    /// The number of samples; `None` for an array without dimensions.
    fn n_samples(&self) -> Option<usize> {
        self.array.shape().get(self.axis).copied()
    }

    /// The batch size that the model's input fixes, if it does.
    fn fixed_batch(&self) -> Option<usize> {
        self.ty.as_ref()?.shape.as_ref()?.get(self.axis)?.known()
    }
}

/// The dimension of an input that counts samples.
fn sample_axis(input: &Input, inputs: &[Input]) -> usize {
    fn dims(input: &Input) -> &[Dim] {
        input.ty.as_ref().and_then(|ty| ty.shape.as_deref()).unwrap_or_default()
    }
    if dims(input).first().is_none_or(|dim| dim.known().is_none()) {
        return 0;
    }
    let symbols =
        inputs.iter().filter_map(|other| dims(other).first().filter(|dim| matches!(dim, Dim::Symbol(_))));
    let named = |symbol: &Dim| dims(input).iter().position(|dim| dim == symbol);
    symbols.filter_map(named).next().unwrap_or(0)
}

const DEFAULT_BATCH: usize = 32;

impl DataSet {
    /// The samples for a model with these inputs. Inputs with a default need no array.
    ///
    /// # Errors
    /// If an array is missing or does not fit its input, bytes are fed to a float input without means and deviations or with
    /// such for values from 0 to 1, the arrays hold different numbers of samples or none, or the batch size
    /// is not that of the model.
    pub fn feed(&self, inputs: &[Input], feeding: &Feeding) -> Result<Feed> {
        let at = |error: Error| error.at(&self.source);
        let mut fed = Vec::new();
        let mut left_out: Option<&str> = None;
        for input in inputs {
            let Some(array) = self.arrays.get(&input.name) else {
                if input.has_default {
                    left_out = Some(&input.name);
                    continue;
                }
                let known: Vec<String> = self.arrays.keys().map(|name| format!("{name:?}")).collect();
                let message = format!(
                    "has no array {:?}, which the model requires; it has {}",
                    input.name,
                    known.join(", ")
                );
                return Err(at(Error::invalid_data(message)));
            };
            if let Some(left_out) = left_out {
                return Err(at(Error::unsupported(format!(
                    "has {:?} but not {left_out:?} before it; feed both",
                    input.name
                ))));
            }
            let axis = sample_axis(input, inputs);
            let checked = fits(array, input, axis).and_then(|()| match &input.ty {
                Some(ty) => conversion::check(array, ty.dtype, feeding),
                None => Ok(()),
            });
            checked.map_err(|error| at(error.at(format!("array {:?}", input.name))))?;
            fed.push(InputData {
                name: input.name.clone(),
                array: array.clone(),
                ty: input.ty.clone(),
                axis,
            });
        }
        let lengths = fed.iter().filter_map(InputData::n_samples);
        let (shortest, longest) = (lengths.clone().min().unwrap_or(1), lengths.max().unwrap_or(1));
        if shortest != longest {
            return Err(at(Error::invalid_data(format!(
                "the arrays hold {shortest} to {longest} samples; all must hold the same number"
            ))));
        }
        if longest == 0 {
            return Err(at(Error::invalid_data("there are no samples")));
        }
        let fixed = fed.iter().find_map(InputData::fixed_batch);
        if let (Some(fixed), Some(requested)) = (fixed, feeding.batch)
            && fixed != requested
        {
            return Err(at(Error::invalid_data(format!(
                "the model requires batches of {fixed}, found {requested}"
            ))));
        }
        let batch = fixed.or(feeding.batch).unwrap_or(DEFAULT_BATCH);
        if batch == 0 {
            return Err(at(Error::invalid_data("a batch must hold at least one sample")));
        }
        Ok(Feed {
            inputs: fed,
            feeding: feeding.clone(),
            batch,
            n_samples: longest,
            is_fixed: fixed.is_some(),
        })
    }

    /// An array that a metric requires, with one entry for each sample.
    ///
    /// # Errors
    /// If it is missing, can't be read, or has another number of entries.
    pub fn targets(&self, name: &str, n_samples: usize) -> Result<Tensor> {
        let at = |error: Error| error.at(&self.source);
        let missing = || at(Error::invalid_data(format!("has no array {name:?}, which the metric requires")));
        let array = self.arrays.get(name).ok_or_else(missing)?;
        match array.shape().first() {
            Some(&n) if n == n_samples => array.whole().map_err(at),
            found => {
                let n_targets = found.copied().unwrap_or(1);
                Err(at(Error::invalid_data(format!("has {n_samples} samples and {n_targets} {name}"))))
            }
        }
    }
}

impl Feed {
    /// The number of samples.
    pub fn n_samples(&self) -> usize {
        self.n_samples
    }

    /// The number of batches.
    pub fn n_batches(&self) -> usize {
        self.n_samples.div_ceil(self.batch)
    }

    /// The number of samples in a batch; the last batch may have fewer.
    pub(crate) fn batch_len(&self) -> usize {
        self.batch
    }

    /// The same samples in batches of at most `max` samples, unless the model fixes the batch size.
    pub(crate) fn in_batches_of_at_most(self, max: usize) -> Feed {
        let batch = if self.is_fixed { self.batch } else { self.batch.min(max.max(1)) };
        Feed { batch, ..self }
    }

    /// The ranges of samples of the batches.
    pub fn batches(&self) -> impl Iterator<Item = Range<usize>> {
        let (batch, n_samples) = (self.batch, self.n_samples);
        (0..self.n_batches()).map(move |idx| idx * batch..((idx + 1) * batch).min(n_samples))
    }

    /// The model's inputs for some samples. If the model fixes the batch size, the last sample is repeated to fill the batch; the
    /// caller ignores the outputs for the repetitions.
    ///
    /// # Errors
    /// If the data can't be read, or means and deviations do not fit.
    pub fn inputs(&self, samples: Range<usize>) -> Result<Vec<Tensor>> {
        self.inputs_of(&samples.collect::<Vec<_>>())
    }

    /// The same for samples in any order, at most as many as a batch has.
    pub(crate) fn inputs_of(&self, samples: &[usize]) -> Result<Vec<Tensor>> {
        self.inputs.iter().map(|input| self.converted(input, self.stored(input, samples)?)).collect()
    }

    /// Some samples of an input, as they are stored.
    fn stored(&self, InputData { array, axis, .. }: &InputData, samples: &[usize]) -> Result<Tensor> {
        if array.shape().is_empty() {
            return array.whole();
        }
        let n_samples = if self.is_fixed { self.batch } else { samples.len() };
        array.pick(*axis, samples, n_samples)
    }

    /// A batch of an input in the type that the model requires.
    fn converted(&self, input: &InputData, batch: Tensor) -> Result<Tensor> {
        match &input.ty {
            Some(ty) => conversion::converted(batch, ty.dtype, &self.feeding),
            None => Ok(batch),
        }
    }
}

/// The batches of a feed are calibration data.
impl CalibrationData for Feed {
    fn for_each_batch(
        &mut self,
        n_batches: usize,
        visit: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), BoxError> {
        for samples in self.batches().take(n_batches) {
            visit(&self.inputs(samples)?)?;
        }
        Ok(())
    }

    fn n_batches(&self) -> Option<usize> {
        Some(Feed::n_batches(self))
    }
}

/// Checks that the samples of an array fit an input.
fn fits(array: &Array, input: &Input, axis: usize) -> Result<()> {
    let Some(ty) = &input.ty else { return Ok(()) };
    if !conversion::is_possible(array.dtype(), ty.dtype) {
        return Err(Error::invalid_data(format!("is {}, the model requires {}", array.dtype(), ty.dtype)));
    }
    let Some(dims) = &ty.shape else { return Ok(()) };
    let shape = array.shape();
    // The number of samples may differ; an array without dimensions is fed as it is.
    let fits = |(idx, (dim, &n)): (usize, (&Dim, &usize))| idx == axis || dim.known().is_none_or(|d| d == n);
    let fits = shape.len() == dims.len() && dims.iter().zip(shape).enumerate().all(fits);
    if fits {
        return Ok(());
    }
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    Err(Error::invalid_data(format!("has the shape [{}], the model requires {ty}", shape.join(","))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::DType;

    fn data(arrays: &[(&str, Tensor)]) -> DataSet {
        let arrays =
            arrays.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone().into())).collect();
        DataSet { source: "data.npz".to_owned(), arrays }
    }

    fn input(dims: &[Option<usize>]) -> Input {
        let shape = dims.iter().map(|dim| dim.map_or(Dim::Unknown, Dim::Known)).collect();
        let ty = TensorType { dtype: DType::F32, shape: Some(shape) };
        Input { name: "x".to_owned(), ty: Some(ty), has_default: false }
    }

    #[test]
    fn a_fixed_batch_is_filled_with_the_last_sample() {
        let data = data(&[("x", Tensor::new(&[3, 1], vec![1.0f32, 2.0, 3.0]))]);
        let feed = data.feed(&[input(&[Some(2), Some(1)])], &Feeding::default()).unwrap();
        assert_eq!(feed.batches().collect::<Vec<_>>(), [0..2, 2..3]);
        assert_eq!(feed.inputs(2..3).unwrap()[0].values::<f32>().unwrap(), [3.0, 3.0]);
        let feed =
            data.feed(&[input(&[None, Some(1)])], &Feeding { batch: Some(2), ..Feeding::default() }).unwrap();
        assert_eq!(feed.inputs(2..3).unwrap()[0].values::<f32>().unwrap(), [3.0]);
    }

    #[test]
    fn arrays_that_do_not_fit_are_errors() {
        let message = |array: (&str, Tensor), dims: &[Option<usize>]| {
            data(&[array]).feed(&[input(dims)], &Feeding::default()).unwrap_err().to_string()
        };
        let x = || Tensor::new(&[1, 1], vec![1.0f32]);
        assert_eq!(
            message(("y", x()), &[None, None]),
            "data.npz: has no array \"x\", which the model requires; it has \"y\""
        );
        assert_eq!(
            message(("x", x()), &[None, Some(2)]),
            "data.npz: array \"x\": has the shape [1,1], the model requires f32[?,2]"
        );
        assert_eq!(
            message(("x", Tensor::scalar(1i64)), &[]),
            "data.npz: array \"x\": is i64, the model requires f32"
        );
        assert_eq!(
            message(("x", Tensor::new::<f32>(&[0, 1], vec![])), &[None, None]),
            "data.npz: there are no samples"
        );
    }
}
