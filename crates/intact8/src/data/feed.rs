//! The samples of a data set in batches for the inputs of a model.

use super::batch_axis::{BatchAxes, BatchAxis};
use super::conversion;
use super::fed_part::{FedPart, matched};
use super::{DataSet, ImageSettings, RawShape, stacked};
use intact8_calibrate::{BoxError, CalibrationData};
use intact8_interp::Input;
use intact8_ir::{Error, Model, Result, Tensor, TensorType};
use std::ops::Range;

mod batch_memory;
mod checks;
mod fed_input;

pub(crate) use checks::UnusedOption;
pub use checks::check_options;
pub use fed_input::{FedInput, ValueRange};

/// The options for feeding a data set to a model.
#[derive(Debug, Clone, Default)]
pub struct Feeding {
    /// The number of samples in a batch; `None` is the fixed batch size of the model, or 32. A file of a folder that holds several
    /// samples is a batch of its own, unless it has more samples than this.
    pub batch: Option<usize>,
    /// The batch axes of inputs where they can't be found, or others are meant.
    pub batch_axes: Vec<BatchAxis>,
    /// Subtracted from u8 arrays that are fed to a float input: one number, or one for each channel; empty is 0.
    pub mean: Vec<f32>,
    /// The divisor after that: one number, or one for each channel; empty is 1.
    pub std: Vec<f32>,
    /// Whether u8 arrays may be fed to a float input as 0 to 255, without means and deviations.
    pub raw_bytes: bool,
    /// How images become arrays of u8.
    pub images: ImageSettings,
    /// The shapes of samples in raw files, where the model leaves dimensions open.
    pub raw_shapes: Vec<RawShape>,
}

impl Feeding {
    /// The options, but for the size of a batch, that differ from the defaults, as they are typed.
    pub fn given(&self) -> Vec<&'static str> {
        let given = [
            ("--batch-axis", !self.batch_axes.is_empty()),
            ("--mean", !self.mean.is_empty()),
            ("--std", !self.std.is_empty()),
            ("--raw-bytes", self.raw_bytes),
            ("--raw-shape", !self.raw_shapes.is_empty()),
        ];
        let given = given.into_iter().filter(|(_, is_given)| *is_given).map(|(option, _)| option);
        given.chain(self.images.given()).collect()
    }
}

/// The samples of a data set in batches for the inputs of a model.
#[derive(Debug, Clone)]
pub struct Feed {
    /// The source of the data, for messages.
    source: String,
    /// The names of all inputs of the model.
    names: Vec<String>,
    /// The types of the inputs that are fed.
    types: Vec<Option<TensorType>>,
    axes: BatchAxes,
    parts: Vec<FedPart>,
    groups: Vec<Group>,
    feeding: Feeding,
    /// Whether the batch size is fixed by the model.
    is_fixed: bool,
    notes: Vec<String>,
    /// The options for data that have no effect on these.
    unused: Vec<UnusedOption>,
}

/// Samples that may be in one batch, numbered from `first` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    first: usize,
    n_samples: usize,
    /// The number of samples in a batch.
    batch: usize,
}

const DEFAULT_BATCH: usize = 32;

impl Feed {
    pub(super) fn new(data: &DataSet, model: &Model, feeding: &Feeding) -> Result<Feed> {
        let inputs = Input::all_of(model);
        let matched =
            data.parts.iter().map(|part| matched(part, model, &inputs)).collect::<Result<Vec<_>>>()?;
        let n_fed = matched.first().map_or(0, Vec::len);
        if let Some((other, _)) = data.parts.iter().zip(&matched).find(|(_, arrays)| arrays.len() != n_fed) {
            let message =
                "has arrays for other inputs than the first file; feed the same inputs in all files";
            return Err(Error::invalid_data(message).at(&other.source));
        }
        let layouts = matched.first().into_iter().flatten().map(|array| Ok(array.layout()?.1));
        let shapes: Vec<&[usize]> = layouts.collect::<Result<_>>()?;
        let axes =
            BatchAxes::of(model, &shapes, &feeding.batch_axes).map_err(|error| error.at(&data.source))?;
        let inputs_fed = &inputs[..n_fed];
        let mut parts: Vec<FedPart> = Vec::new();
        for (part, arrays) in data.parts.iter().zip(&matched) {
            let first = parts.last().map_or(0, |part| part.first + part.n_samples);
            let fed = FedPart::new(data.is_folder, arrays, inputs_fed, &axes.inputs, feeding, first);
            let fed = fed.map_err(|error| error.at(&part.source))?;
            parts.push(FedPart { source: part.source.clone(), ..fed });
        }
        let note = axes.note.as_ref().map(|note| format!("{}: {note}", data.source));
        let mut notes: Vec<String> = data.notes.iter().cloned().chain(note).collect();
        let mut unused = data.unused.clone();
        let fed = matched.first().into_iter().flatten().zip(inputs_fed);
        let found = conversion::unused_options(fed, feeding)?;
        for (option, reason) in found {
            unused.push(UnusedOption { option, reason: format!("{}: {reason}", data.source) });
        }
        notes.extend(
            unused.iter().map(|unused| format!("{}, so {} is not applied", unused.reason, unused.option)),
        );
        let types: Vec<Option<TensorType>> = inputs_fed.iter().map(|input| input.ty.clone()).collect();
        let fixed = types
            .iter()
            .zip(&axes.inputs)
            .find_map(|(ty, axis)| ty.as_ref()?.shape.as_ref()?.get((*axis)?)?.known());
        let at = |message: String| Err(Error::invalid_data(message).at(&data.source));
        if let (Some(fixed), Some(requested)) = (fixed, feeding.batch)
            && fixed != requested
        {
            return at(format!("the model requires batches of {fixed}, found {requested}"));
        }
        if fixed == Some(0) || feeding.batch == Some(0) {
            return at("a batch must hold at least one sample".to_owned());
        }
        let names = inputs.into_iter().map(|input| input.name).collect();
        let groups = groups(data, &parts, &axes, fixed, feeding.batch);
        let feeding = feeding.clone();
        let source = data.source.clone();
        Ok(Feed {
            source,
            names,
            types,
            axes,
            parts,
            groups,
            feeding,
            is_fixed: fixed.is_some(),
            notes,
            unused,
        })
    }

    /// The number of samples.
    pub fn n_samples(&self) -> usize {
        self.parts.iter().map(|part| part.n_samples).sum()
    }

    /// The number of batches.
    pub fn n_batches(&self) -> usize {
        self.groups.iter().map(|group| group.n_samples.div_ceil(group.batch)).sum()
    }

    /// Remarks for the user: what is made of images, and that the batch axis is not certain.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The dimension of an output that counts samples; `None` if the inputs are fed as they are, and the output is that of one sample.
    pub fn output_axis(&self, output: usize) -> Option<usize> {
        self.axes.outputs.get(output).copied().flatten()
    }

    /// The same samples in batches of at most `max` samples, unless the model fixes the batch size.
    pub(crate) fn in_batches_of_at_most(mut self, max: usize) -> Feed {
        if !self.is_fixed {
            self.groups.iter_mut().for_each(|group| group.batch = group.batch.min(max.max(1)));
        }
        self
    }

    /// The name of the array that a metric uses: the given one, or another if a model input has that name.
    pub(super) fn metric_array(&self, name: &str) -> String {
        if self.names.iter().any(|input| input == name) { format!("metric.{name}") } else { name.to_owned() }
    }

    /// The number of samples of each file.
    pub(super) fn samples_of_parts(&self) -> Vec<usize> {
        self.parts.iter().map(|part| part.n_samples).collect()
    }

    /// The number of samples that are fed in the batch of a sample: that of the batch's samples, or the batch size that the model
    /// fixes.
    pub fn n_fed(&self, samples: &Range<usize>) -> usize {
        if self.is_fixed { self.groups[self.group_of(samples.start)].batch } else { samples.len() }
    }

    /// The same for samples of one group.
    pub(crate) fn n_fed_of(&self, samples: &[usize]) -> usize {
        let group = samples.first().map_or(0, |&first| self.group_of(first));
        if self.is_fixed { self.groups[group].batch } else { samples.len() }
    }

    /// The ranges of samples of the batches.
    pub fn batches(&self) -> impl Iterator<Item = Range<usize>> {
        let groups = self.groups.clone();
        groups.into_iter().flat_map(|Group { first, n_samples, batch }| {
            let end = first + n_samples;
            (first..end).step_by(batch).map(move |start| start..(start + batch).min(end))
        })
    }

    /// The ranges of samples by which latencies are measured: the first batch, and one sample if neither the model nor the user states
    /// the size of a batch, since small batches gain less from integers.
    pub(crate) fn measured_batches(&self) -> Vec<Range<usize>> {
        let first = self.batches().next().unwrap_or_default();
        let is_scalar = |ty: &Option<TensorType>| {
            ty.as_ref().is_some_and(|ty| ty.shape.as_ref().is_some_and(Vec::is_empty))
        };
        let mut axes = self.axes.inputs.iter().zip(&self.types);
        let are_open = axes.all(|(axis, ty)| axis.is_some() || is_scalar(ty));
        let is_open = !self.is_fixed && self.feeding.batch.is_none() && are_open;
        let one = (is_open && first.len() > 1).then(|| first.start..first.start + 1);
        [first].into_iter().chain(one).collect()
    }

    /// An order of all samples in batches. Each batch has samples of one group, and is filled in the order.
    pub(crate) fn batches_of(&self, order: &[usize]) -> Vec<Vec<usize>> {
        let mut batches = Vec::new();
        let mut open: Vec<Vec<usize>> = vec![vec![]; self.groups.len()];
        let mut n_left: Vec<usize> = self.groups.iter().map(|group| group.n_samples).collect();
        for &sample in order {
            let group = self.group_of(sample);
            open[group].push(sample);
            n_left[group] -= 1;
            if n_left[group] == 0 || open[group].len() == self.groups[group].batch {
                batches.push(std::mem::take(&mut open[group]));
            }
        }
        batches
    }

    fn group_of(&self, sample: usize) -> usize {
        self.groups.partition_point(|group| group.first <= sample) - 1
    }

    fn part_of(&self, sample: usize) -> &FedPart {
        &self.parts[self.parts.partition_point(|part| part.first <= sample) - 1]
    }

    /// The model's inputs for the samples of a batch. If the model fixes the batch size, the last sample is repeated to fill the
    /// batch; the caller ignores the outputs for the repetitions.
    ///
    /// # Errors
    /// If the data can't be read, or means and deviations do not fit.
    pub fn inputs(&self, samples: Range<usize>) -> Result<Vec<Tensor>> {
        self.inputs_of(&samples.collect::<Vec<_>>())
    }

    /// The same for samples of one group in any order, at most as many as a batch has.
    pub(crate) fn inputs_of(&self, samples: &[usize]) -> Result<Vec<Tensor>> {
        (0..self.types.len()).map(|input| self.converted(input, self.stored(input, samples)?)).collect()
    }

    /// Some samples of an input, as they are stored.
    fn stored(&self, input: usize, samples: &[usize]) -> Result<Tensor> {
        let (Some(&first), Some(&last)) = (samples.first(), samples.last()) else {
            return Err(Error::invalid_data("a batch must hold at least one sample"));
        };
        let Some(axis) = self.axes.inputs[input] else {
            return self.part_of(first).arrays[input].array.whole();
        };
        let mut samples = samples.to_vec();
        if self.is_fixed {
            samples.resize(self.groups[self.group_of(first)].batch, last);
        }
        let is_of_one_part = |&a: &usize, &b: &usize| std::ptr::eq(self.part_of(a), self.part_of(b));
        let picked = |samples: &[usize]| {
            let part = self.part_of(samples[0]);
            let samples: Vec<usize> = samples.iter().map(|sample| sample - part.first).collect();
            part.arrays[input].pick(axis, &samples)
        };
        let picked = samples.chunk_by(is_of_one_part).map(picked).collect::<Result<Vec<_>>>()?;
        stacked(&picked, axis)
    }

    /// One sample of an input, as it is stored.
    fn stored_one(&self, input: usize, sample: usize) -> Result<Tensor> {
        let part = self.part_of(sample);
        match self.axes.inputs[input] {
            Some(axis) => part.arrays[input].pick(axis, &[sample - part.first]),
            None => part.arrays[input].array.whole(),
        }
    }

    /// A batch of an input in the type that the model requires.
    fn converted(&self, input: usize, batch: Tensor) -> Result<Tensor> {
        match &self.types[input] {
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
            visit(&self.finite_inputs(samples)?)?;
        }
        Ok(())
    }

    fn for_each_selected_batch(
        &mut self,
        n_batches: usize,
        is_selected: &dyn Fn(usize) -> bool,
        visit: &mut dyn FnMut(usize, &[Tensor]) -> Result<()>,
    ) -> Result<(), BoxError> {
        for (batch, samples) in self.batches().take(n_batches).enumerate() {
            if is_selected(batch) {
                visit(batch, &self.finite_inputs(samples)?)?;
            }
        }
        Ok(())
    }

    fn n_batches(&self) -> Option<usize> {
        Some(Feed::n_batches(self))
    }
}

/// The groups of samples that batches are made of. Outside of a folder all samples are one group. In a folder each file is one,
/// and neighbouring files of one sample with arrays of the same shapes are joined.
fn groups(
    data: &DataSet,
    parts: &[FedPart],
    axes: &BatchAxes,
    fixed: Option<usize>,
    requested: Option<usize>,
) -> Vec<Group> {
    let usual = fixed.or(requested).unwrap_or(DEFAULT_BATCH);
    let is_batched = axes.inputs.iter().all(Option::is_some);
    let mut groups: Vec<Group> = Vec::new();
    for (idx, &FedPart { first, n_samples, .. }) in parts.iter().enumerate() {
        let joins = is_batched
            && n_samples == 1
            && idx > 0
            && parts[idx - 1].n_samples == 1
            && data.parts[idx].has_layout_of(&data.parts[idx - 1]);
        match groups.last_mut().filter(|_| joins) {
            Some(group) => group.n_samples += 1,
            None => {
                let whole = requested.unwrap_or(n_samples).min(n_samples);
                let batch = if data.is_folder && n_samples > 1 { fixed.unwrap_or(whole) } else { usual };
                groups.push(Group { first, n_samples, batch });
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests;
