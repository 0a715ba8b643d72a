//! Metrics: one number for the outputs of a model over a data set.

mod batch;
mod classes;
mod errors;
mod mean;
mod noise;
mod numbers;
mod own;
mod precision;
mod ranks;
mod table;
mod tally_samples;

use crate::chance::Chance;
pub(crate) use batch::Batch;
use intact8_ir::{Error, Result, Tensor, did_you_mean};
pub use noise::Noise;
pub(crate) use noise::{noise, noise_of_mean};
pub(crate) use numbers::{labels, numbers};
pub use own::{Contributions, OwnMetric, OwnTally};
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

#[cfg(test)]
mod tests;
