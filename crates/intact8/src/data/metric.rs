//! Metrics: one number for what a model says about a whole data set.

mod classes;
mod errors;
mod mean;
mod noise;
mod ranks;

use classes::{Overlap, TopK};
use errors::{Cosine, MeanError, NoiseRatio};
use intact8_ir::{DType, Error, Result, Tensor, f16, with_element};
pub use noise::Noise;
pub(crate) use noise::{noise, noise_of_mean};
use ranks::{RankCorrelation, RocArea};
use std::borrow::Cow;

/// A kind of metric. All of them look at the model's first output.
pub struct MetricRow {
    /// The name on the command line; where it ends in `K`, a number stands there.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Which way is up.
    pub better: Better,
    /// What the output is compared with.
    pub truth: Truth,
    /// Begins to count; of `topK` it is given K.
    tally: fn(k: usize) -> Box<dyn Tally>,
}

/// Which values of a metric are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Larger ones.
    Higher,
    /// Smaller ones.
    Lower,
}

/// What an output is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// The array `labels` of the data set, integers.
    Labels,
    /// The array `targets` of the data set, or else what the original model gives.
    Targets,
}

/// The metrics.
pub static METRICS: &[MetricRow] = &[
    MetricRow {
        name: "topK",
        about: "the share of samples whose label is among the K greatest outputs",
        better: Better::Higher,
        truth: Truth::Labels,
        tally: |k| Box::new(TopK::new(k)),
    },
    MetricRow {
        name: "miou",
        about: "the intersection of predicted and labelled pixels over their union, the mean over the classes",
        better: Better::Higher,
        truth: Truth::Labels,
        tally: |_| Box::new(Overlap::default()),
    },
    MetricRow {
        name: "auc",
        about: "the area under the ROC curve, for labels 0 and 1",
        better: Better::Higher,
        truth: Truth::Labels,
        tally: |_| Box::new(RocArea::default()),
    },
    MetricRow {
        name: "spearman",
        about: "the rank correlation of outputs and targets",
        better: Better::Higher,
        truth: Truth::Targets,
        tally: |_| Box::new(RankCorrelation::default()),
    },
    MetricRow {
        name: "mse",
        about: "the mean squared difference from the targets",
        better: Better::Lower,
        truth: Truth::Targets,
        tally: |_| Box::new(MeanError::default()),
    },
    MetricRow {
        name: "cosine",
        about: "the cosine of the angle to the targets, the mean over the samples",
        better: Better::Higher,
        truth: Truth::Targets,
        tally: |_| Box::new(Cosine::default()),
    },
    MetricRow {
        name: "sqnr",
        about: "the energy of the targets over that of the difference from them, in decibels, at most 200",
        better: Better::Higher,
        truth: Truth::Targets,
        tally: |_| Box::new(NoiseRatio::to_energy()),
    },
    MetricRow {
        name: "psnr",
        about: "the squared range of the targets over the mean squared difference, in decibels, at most 200",
        better: Better::Higher,
        truth: Truth::Targets,
        tally: |_| Box::new(NoiseRatio::to_peak()),
    },
];

/// A metric, ready to count.
#[derive(Clone)]
pub struct Metric {
    /// Its name, such as `top5`.
    pub name: String,
    row: &'static MetricRow,
    k: usize,
}

impl Metric {
    /// Its row.
    pub fn row(&self) -> &'static MetricRow {
        self.row
    }

    pub(crate) fn tally(&self) -> Box<dyn Tally> {
        (self.row.tally)(self.k)
    }
}

/// The metric of that name.
pub fn metric_named(name: &str) -> Result<Metric> {
    let parsed = |row: &'static MetricRow| {
        let k = match row.name.strip_suffix('K') {
            Some(stem) => name.strip_prefix(stem)?.parse().ok().filter(|&k| k > 0)?,
            None if row.name == name => 0,
            None => return None,
        };
        Some(Metric { name: name.to_owned(), row, k })
    };
    let names = || METRICS.iter().map(|metric| format!("{:?}", metric.name)).collect::<Vec<_>>().join(", ");
    let unknown = || {
        Error::invalid_config(format!(
            "there is no metric {name:?}; use one of {}, with a number for K",
            names()
        ))
    };
    METRICS.iter().find_map(parsed).ok_or_else(unknown)
}

/// Counts, batch by batch.
pub(crate) trait Tally {
    /// Counts some samples.
    fn add(&mut self, batch: &Batch<'_>) -> Result<()>;

    /// How many samples have been counted.
    fn n(&self) -> usize;

    /// The metric of some of the samples, named by their position; NaN may stand for that of none.
    fn value_of(&self, is_counted: &dyn Fn(usize) -> bool) -> f64;

    /// The metric of all that has been counted.
    fn value(&self) -> f64 {
        self.value_of(&|_| true)
    }

    /// What each sample contributes, if the metric is the mean of that.
    fn contributions(&self) -> Option<&[f64]> {
        None
    }

    /// Takes the samples, which were counted in some other order, for counted in the order of their numbers: the first one
    /// counted was `order[0]`. Only metrics that are means need to know how.
    fn sort(&mut self, order: &[usize]) {
        let _ = order;
    }

    /// Whether a sample contributes just 0 or 1.
    fn is_count(&self) -> bool {
        false
    }

    /// The least and the greatest that the metric can still become if so many samples follow. Bounds must hold after
    /// rounding, too.
    fn range(&self, n_left: usize) -> (f64, f64) {
        let _ = n_left;
        (f64::NEG_INFINITY, f64::INFINITY)
    }
}

/// What a model says of some samples, and what it should say.
pub(crate) struct Batch<'a> {
    /// How many samples there are.
    pub(crate) n: usize,
    /// The first output's shape; its first dimension may be longer than `n`.
    pub(crate) shape: &'a [usize],
    /// Its values for those samples.
    pub(crate) output: Cow<'a, [f32]>,
    /// Labels, all of a sample's together.
    pub(crate) labels: Cow<'a, [i64]>,
    /// Targets, all of a sample's together.
    pub(crate) targets: Cow<'a, [f32]>,
}

impl<'a> Batch<'a> {
    /// The outputs of a model for `n` samples, still without labels and targets.
    pub(crate) fn of(outputs: &'a [Tensor], n: usize) -> Result<Batch<'a>> {
        let output = outputs.first().ok_or_else(|| Error::invalid_data("the model has no output"))?;
        let shape = output.shape();
        if shape.first().is_none_or(|&n_rows| n_rows < n) {
            let message =
                format!("metrics want an output with a row for each of {n} samples, found {shape:?}");
            return Err(Error::invalid_data(message));
        }
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

    /// The rows of output and targets, which must be equally long.
    fn pairs(&self) -> Result<impl Iterator<Item = (&[f32], &[f32])>> {
        if self.output.len() != self.targets.len() {
            let [found, wanted] = [self.output.len(), self.targets.len()].map(|len| len / self.n);
            return Err(Error::invalid_data(format!(
                "the model gives {found} values for a sample, and the targets have {wanted}"
            )));
        }
        let row = self.output.len() / self.n;
        Ok(self.output.chunks_exact(row).zip(self.targets.chunks_exact(row)))
    }
}

/// The values of a tensor as f32, whatever numbers they are.
pub(crate) fn numbers(tensor: &Tensor) -> Result<Cow<'_, [f32]>> {
    let dtype = tensor.dtype();
    match dtype {
        DType::F32 => return Ok(Cow::Borrowed(tensor.values()?)),
        DType::F16 => {
            return Ok(Cow::Owned(tensor.values::<f16>()?.iter().map(|value| value.to_f32()).collect()));
        }
        _ => {}
    }
    with_element!(dtype, [F64 I8 U8 I16 U16 I32 U32 I64 U64], T => {
            Ok(Cow::Owned(tensor.values::<T>()?.iter().map(|&value| value as f32).collect()))
        },
        _ => Err(Error::invalid_data(format!("metrics want numbers, found {dtype}"))))
}

/// Labels as integers, whatever integer type they are stored in.
pub(crate) fn labels(array: &Tensor) -> Result<Vec<i64>> {
    let dtype = array.dtype();
    with_element!(dtype, [I8 U8 I16 U16 I32 U32 I64], T => {
            Ok(widened(array.values::<T>()?))
        },
        _ => Err(Error::invalid_data(format!("labels must be integers, found {dtype}"))))
}

fn widened<T: Copy + Into<i64>>(labels: &[T]) -> Vec<i64> {
    labels.iter().map(|&label| label.into()).collect()
}

#[cfg(test)]
mod tests;
