//! Metrics of the caller's own: over all outputs of a model, and either one number for each sample or one for all of them.

use super::mean::Mean;
use super::{Batch, Tally};
use intact8_calibrate::BoxError;
use intact8_ir::{Error, Result, Tensor};

/// A metric of the caller's own.
pub trait OwnMetric: Send + Sync {
    /// Begins the metric of one model.
    fn begin(&self) -> Box<dyn OwnTally>;
}

/// The metric of one model, to which samples are added batch by batch.
pub trait OwnTally {
    /// Adds the outputs of the model for some samples, which are numbered in the order of the data set: one tensor for each output
    /// that is a tensor. Returns the contributions of the samples if the metric is their mean, and `None`, always, if
    /// [`value`](OwnTally::value) computes it. The samples of metrics that are means come in any order.
    ///
    /// # Errors
    /// Any; the search ends with it.
    fn add(&mut self, outputs: &[Tensor], samples: &[usize]) -> Result<Option<Contributions>, BoxError>;

    /// The metric of all samples, if `add` has returned no contributions.
    ///
    /// # Errors
    /// Any; the search ends with it.
    fn value(&mut self) -> Result<f64, BoxError>;
}

/// The contributions of some samples to a metric that is their mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Contributions {
    /// One number for each sample.
    pub values: Vec<f64>,
    /// Whether each is 0 or 1.
    pub are_counts: bool,
    /// The least and the greatest number that a sample can contribute, with which trials can stop early; infinite if unknown.
    pub bounds: [f64; 2],
}

/// The state of a metric of the caller's own.
pub(super) struct OwnValues {
    tally: Box<dyn OwnTally>,
    mean: Mean,
    are_counts: bool,
    bounds: [f64; 2],
    n: usize,
    /// The value, once it is known, of a metric that is no mean.
    value: Option<f64>,
}

impl OwnValues {
    pub(super) fn new(tally: Box<dyn OwnTally>) -> OwnValues {
        let bounds = [f64::NEG_INFINITY, f64::INFINITY];
        OwnValues { tally, mean: Mean::default(), are_counts: false, bounds, n: 0, value: None }
    }

    fn is_mean(&self) -> bool {
        self.n > 0 && self.mean.n() == self.n
    }
}

impl Tally for OwnValues {
    fn add(&mut self, _batch: &Batch<'_>) -> Result<()> {
        Ok(())
    }

    fn add_outputs(&mut self, outputs: &[Tensor], samples: &[usize]) -> Result<()> {
        let contributions = self.tally.add(outputs, samples).map_err(Error::from_user)?;
        self.n += samples.len();
        if let Some(Contributions { values, are_counts, bounds }) = contributions {
            if values.len() != samples.len() {
                let (found, expected) = (values.len(), samples.len());
                return Err(Error::evaluator(format!("returned {found} numbers for {expected} samples")));
            }
            (self.are_counts, self.bounds) = (are_counts, bounds);
            values.into_iter().for_each(|value| self.mean.add(value));
        }
        match self.mean.n() == 0 || self.is_mean() {
            true => Ok(()),
            false => Err(Error::evaluator("returned a number for each sample of some batches only")),
        }
    }

    fn finish(&mut self) -> Result<()> {
        if !self.is_mean() {
            self.value = Some(self.tally.value().map_err(Error::from_user)?);
        }
        Ok(())
    }

    fn has_noise(&self) -> bool {
        self.is_mean()
    }

    fn n(&self) -> usize {
        self.n
    }

    fn value_of(&self, is_counted: &dyn Fn(usize) -> bool) -> f64 {
        self.value.unwrap_or_else(|| self.mean.value_of(is_counted))
    }

    fn contributions(&self) -> Option<&[f64]> {
        self.is_mean().then_some(&self.mean.contributions)
    }

    fn sort(&mut self, order: &[usize]) {
        if self.is_mean() {
            self.mean.sort(order);
        }
    }

    fn is_count(&self) -> bool {
        self.are_counts
    }

    /// A margin covers the rounding of sums in another order.
    fn range(&self, n_left: usize) -> (f64, f64) {
        if !self.is_mean() {
            return (f64::NEG_INFINITY, f64::INFINITY);
        }
        let n = (self.n + n_left) as f64;
        let reached = |bound: f64| (self.mean.sum + n_left as f64 * bound) / n;
        let [low, high] = self.bounds.map(reached);
        let margin = if self.are_counts { 0.0 } else { 1e-12 * low.abs().max(high.abs()) };
        (low - margin, high + margin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean of the first output, as one number for each sample or for all of them.
    struct FirstOutput {
        is_by_sample: bool,
        sums: (f64, usize),
    }

    impl OwnTally for FirstOutput {
        fn add(&mut self, outputs: &[Tensor], samples: &[usize]) -> Result<Option<Contributions>, BoxError> {
            let values: Vec<f64> = outputs[0].values::<f32>()?.iter().map(|&x| f64::from(x)).collect();
            assert_eq!(values.len(), samples.len());
            self.sums = (self.sums.0 + values.iter().sum::<f64>(), self.sums.1 + values.len());
            Ok(self.is_by_sample.then_some(Contributions { values, are_counts: false, bounds: [0.0, 1.0] }))
        }

        fn value(&mut self) -> Result<f64, BoxError> {
            match self.sums {
                (_, 0) => Err("no samples".into()),
                (sum, n) => Ok(sum / n as f64),
            }
        }
    }

    fn tally(is_by_sample: bool) -> OwnValues {
        OwnValues::new(Box::new(FirstOutput { is_by_sample, sums: (0.0, 0) }))
    }

    #[test]
    fn one_number_for_each_sample_has_noise_and_bounds_and_one_for_all_has_not() {
        let outputs = [Tensor::new(&[2], vec![0.5f32, 1.0])];
        for is_by_sample in [true, false] {
            let mut tally = tally(is_by_sample);
            tally.add_outputs(&outputs, &[0, 1]).unwrap();
            tally.finish().unwrap();
            assert_eq!((tally.value(), tally.n(), tally.has_noise()), (0.75, 2, is_by_sample));
            let (low, high) = tally.range(2);
            let expected = if is_by_sample { (0.375, 0.875) } else { (f64::NEG_INFINITY, f64::INFINITY) };
            let is_near = |a: f64, b: f64| a == b || (a - b).abs() < 1e-9;
            assert!(is_near(low, expected.0) && is_near(high, expected.1));
        }
        assert_eq!(tally(false).finish().unwrap_err().to_string(), "no samples");
    }
}
