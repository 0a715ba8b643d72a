//! Metrics: one number for the outputs of a model over a data set.

mod classes;
mod errors;
mod mean;
mod noise;
mod numbers;
mod own;
mod ranks;
mod table;
mod tally_samples;

use crate::chance::Chance;
use intact8_ir::{Error, Result, Tensor, did_you_mean, with_element};
pub use noise::Noise;
pub(crate) use noise::{noise, noise_of_mean};
pub(crate) use numbers::{labels, numbers};
pub use own::{Contributions, OwnMetric, OwnTally};
use std::borrow::Cow;
use std::sync::Arc;
use table::OTHER_NAMES;
pub use table::{METRICS, MetricRow};
pub(crate) use tally_samples::TallySamples;

/// The direction in which a metric improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Higher values are better.
    Higher,
    /// Lower values are better.
    Lower,
}

/// The bounds of a metric of which none are known.
pub const UNBOUNDED: [f64; 2] = [f64::NEG_INFINITY, f64::INFINITY];

/// The values that an output is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// The array `labels` of the data set, integers.
    Labels,
    /// The array `targets` of the data set; if it is absent, the outputs of the original model.
    Targets,
    /// None that intact8 knows, for metrics of the caller's own.
    Own,
}

/// A metric, with the number in its name.
#[derive(Clone)]
pub struct Metric {
    /// Its name, such as `top5`.
    pub name: String,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// A row of the table, and the number in the name.
    Row(&'static MetricRow, usize),
    /// A metric of the caller's own.
    Own(Better, Arc<dyn OwnMetric>),
}

impl Metric {
    /// A metric of the caller's own.
    pub fn own(name: impl Into<String>, better: Better, metric: Arc<dyn OwnMetric>) -> Metric {
        Metric { name: name.into(), kind: Kind::Own(better, metric) }
    }

    /// Whether higher or lower values are better.
    pub fn better(&self) -> Better {
        match &self.kind {
            Kind::Row(row, _) => row.better,
            Kind::Own(better, _) => *better,
        }
    }

    /// The values that the output is compared with.
    pub fn truth(&self) -> Truth {
        match &self.kind {
            Kind::Row(row, _) => row.truth,
            Kind::Own(..) => Truth::Own,
        }
    }

    /// Whether the best value is known to be 1, and 0 worthless.
    pub fn is_share(&self) -> bool {
        matches!(&self.kind, Kind::Row(row, _) if row.is_share)
    }

    /// The least and the greatest value; infinite where there is none, or none is known.
    pub fn bounds(&self) -> [f64; 2] {
        match &self.kind {
            Kind::Row(row, _) => row.bounds,
            Kind::Own(..) => UNBOUNDED,
        }
    }

    pub(crate) fn tally(&self) -> Box<dyn Tally> {
        match &self.kind {
            Kind::Row(row, k) => (row.tally)(*k),
            Kind::Own(_, metric) => Box::new(own::OwnValues::new(metric.begin())),
        }
    }
}

/// The metric with this name.
///
/// # Errors
/// If there is none; the message lists the names.
pub fn metric_named(name: &str) -> Result<Metric> {
    let parsed = |row: &'static MetricRow| {
        let k = match row.name.strip_suffix('K') {
            Some(stem) => name.strip_prefix(stem)?.parse().ok().filter(|&k| k > 0)?,
            None if row.name == name => 0,
            None => return None,
        };
        Some(Metric { name: name.to_owned(), kind: Kind::Row(row, k) })
    };
    let names = || METRICS.iter().map(|metric| format!("{:?}", metric.name)).collect::<Vec<_>>().join(", ");
    let unknown = || {
        let lower = name.to_lowercase();
        let meant = match OTHER_NAMES.iter().find(|(other, _)| *other == lower) {
            Some((_, "top1")) => "; top1 is accuracy".to_owned(),
            Some((_, meant)) => format!("; did you mean {meant:?}"),
            None => did_you_mean(name, METRICS.iter().map(|metric| metric.name)),
        };
        let message =
            format!("there is no metric {name:?}{meant}; use one of {}, with a number for K", names());
        Error::invalid_config(message)
    };
    METRICS.iter().find_map(parsed).ok_or_else(unknown)
}

/// The state of a metric, to which samples are added batch by batch.
pub(crate) trait Tally {
    /// Adds some samples.
    ///
    /// # Errors
    /// If outputs, labels or targets do not fit the metric.
    fn add(&mut self, batch: &Batch<'_>) -> Result<()>;

    /// Adds all outputs for some samples of the data set; only for metrics of the caller's own, which have no [`Batch`].
    ///
    /// # Errors
    /// Any of the caller's.
    fn add_outputs(&mut self, outputs: &[Tensor], samples: &[usize]) -> Result<()> {
        let _ = (outputs, samples);
        Ok(())
    }

    /// The samples added so far, as another process needs them; `None` if the metric can't be shared.
    fn samples(&self) -> Option<TallySamples> {
        None
    }

    /// Adds samples of another tally of the same metric.
    ///
    /// # Errors
    /// If they are those of another metric.
    fn add_samples(&mut self, samples: TallySamples) -> Result<()> {
        drop(samples);
        Err(TallySamples::other_metric())
    }

    /// Called once after the last sample, before the value is asked for.
    ///
    /// # Errors
    /// Any of the caller's.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    /// Whether the metric of a part of the samples can be computed, from which its noise is known.
    fn has_noise(&self) -> bool {
        true
    }

    /// The number of samples added so far.
    fn n(&self) -> usize;

    /// The metric of the samples for whose position `is_counted` returns true; may be NaN if there are none.
    fn value_of(&self, is_counted: &dyn Fn(usize) -> bool) -> f64;

    /// The metric of all samples added so far.
    fn value(&self) -> f64 {
        self.value_of(&|_| true)
    }

    /// The metric of guesses on these samples, or of outputs of zeros; by default 0.
    fn chance(&self) -> Chance {
        Chance::default()
    }

    /// The contribution of each sample, if the metric is the mean of these.
    fn contributions(&self) -> Option<&[f64]> {
        None
    }

    /// Reorders the samples as if they had been added in ascending order; the sample added first is `order[0]`. Only metrics that
    /// are means support it.
    fn sort(&mut self, order: &[usize]) {
        let _ = order;
    }

    /// Whether each contribution is 0 or 1.
    fn is_count(&self) -> bool {
        false
    }

    /// The lowest and the highest value that the metric can reach with `n_left` further samples. The bounds must hold for rounded
    /// results.
    fn range(&self, n_left: usize) -> (f64, f64) {
        let _ = n_left;
        (f64::NEG_INFINITY, f64::INFINITY)
    }
}

/// The outputs of a model for some samples, with their labels and targets.
pub(crate) struct Batch<'a> {
    /// The number of samples.
    pub(crate) n: usize,
    /// The shape of the first output with the samples first; its first dimension may be larger than `n`.
    pub(crate) shape: Vec<usize>,
    /// The values of the first output for these samples.
    pub(crate) output: Cow<'a, [f32]>,
    /// The labels, sample by sample.
    pub(crate) labels: Cow<'a, [i64]>,
    /// The targets, sample by sample.
    pub(crate) targets: Cow<'a, [f32]>,
}

impl<'a> Batch<'a> {
    /// The outputs of a model for `n` samples, still without labels and targets. `axis` is the dimension of the first output that
    /// counts samples; `None` if the whole output is that of one sample.
    pub(crate) fn of(outputs: &'a [Tensor], n: usize, axis: Option<usize>) -> Result<Batch<'a>> {
        let output =
            outputs.first().ok_or_else(|| Error::invalid_data("the model has no output that is a tensor"))?;
        let shape = output.shape();
        let n_rows = axis.map_or(Some(1), |axis| shape.get(axis).copied());
        if n_rows.is_none_or(|n_rows| n_rows < n) {
            let message = format!(
                "metrics require an output with a row for each of {n} samples, found the shape {shape:?}; state the \
                 --batch-axis, which is none if each array is one sample"
            );
            return Err(Error::invalid_data(message));
        }
        match axis {
            Some(0) => Batch::of_rows(output, n),
            Some(axis) => Ok(Batch::of_rows(&samples_first(output, axis)?, n)?.into_owned()),
            None => {
                let one =
                    output.reshaped(&[&[1], shape].concat()).expect("a dimension of 1 adds no elements");
                Ok(Batch::of_rows(&one, n)?.into_owned())
            }
        }
    }

    /// The first `n` rows of an output.
    fn of_rows(output: &'a Tensor, n: usize) -> Result<Batch<'a>> {
        let shape = output.shape().to_vec();
        let n_values = output.len() / shape[0].max(1) * n;
        if n_values == 0 {
            return Err(Error::invalid_data("the model's output is empty"));
        }
        let output = match numbers(output)? {
            Cow::Borrowed(values) => Cow::Borrowed(&values[..n_values]),
            Cow::Owned(mut values) => {
                values.truncate(n_values);
                Cow::Owned(values)
            }
        };
        Ok(Batch { n, shape, output, labels: Cow::Borrowed(&[]), targets: Cow::Borrowed(&[]) })
    }

    fn into_owned(self) -> Batch<'static> {
        let Batch { n, shape, output, labels, targets } = self;
        let [output, targets] = [output, targets].map(|values| Cow::Owned(values.into_owned()));
        Batch { n, shape, output, labels: Cow::Owned(labels.into_owned()), targets }
    }

    /// The rows of output and targets, which must have the same length.
    fn pairs(&self) -> Result<impl Iterator<Item = (&[f32], &[f32])>> {
        if self.output.len() != self.targets.len() {
            let [found, expected] = [self.output.len(), self.targets.len()].map(|len| len / self.n);
            return Err(Error::invalid_data(format!(
                "the model returns {found} values for a sample, and the targets have {expected}"
            )));
        }
        let row = self.output.len() / self.n;
        Ok(self.output.chunks_exact(row).zip(self.targets.chunks_exact(row)))
    }
}

/// A tensor with an axis moved to the front.
fn samples_first(tensor: &Tensor, axis: usize) -> Result<Tensor> {
    Ok(with_element!(tensor.dtype(), T => {
        let mut view = tensor.view::<T>()?;
        (0..axis).rev().for_each(|idx| view.swap_axes(idx, idx + 1));
        Tensor::from_array(&view)
    }))
}

#[cfg(test)]
mod tests;
