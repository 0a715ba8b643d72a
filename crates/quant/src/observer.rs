//! Observers: what the values of an activation were, and which parameters a method makes of that.
//!
//! [`Statistics`] sees every batch once and keeps a fixed amount, however many there are; statistics of parts of the
//! data add up to those of the whole. The methods are functions of statistics, one file each, so that one pass over
//! the data serves them all.

mod hfmg;
mod histogram;
mod ifmr;

pub use histogram::{Bin, Histogram};

use crate::config::{ActivationConfig, ActivationMethod};
use crate::params::QuantParams;
use quantfit_ir::{Error, Result};
use std::ops::AddAssign;

/// What is kept of all values of an activation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Statistics {
    /// How many times values came in.
    pub n_batches: u64,
    /// How many values came in.
    pub n_values: u64,
    /// The least value; 0 as long as there is none.
    pub min: f32,
    /// The greatest value; 0 as long as there is none.
    pub max: f32,
    /// How often which values came.
    pub histogram: Histogram,
}

impl Statistics {
    /// Takes in the values of one batch. They must be finite.
    pub fn observe(&mut self, values: &[f32]) -> Result<()> {
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Error::invalid_data(format!("the calibration data give {value} here; check them")));
        }
        let (min, max) =
            values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), &v| (min.min(v), max.max(v)));
        self.histogram.count(values);
        let (n_values, histogram) = (values.len() as u64, Histogram::default());
        let (min, max) = if values.is_empty() { (0.0, 0.0) } else { (min, max) };
        *self += &Statistics { n_batches: 1, n_values, min, max, histogram };
        Ok(())
    }
}

impl AddAssign<&Statistics> for Statistics {
    fn add_assign(&mut self, other: &Statistics) {
        if other.n_values > 0 {
            let is_first = self.n_values == 0;
            self.min = if is_first { other.min } else { self.min.min(other.min) };
            self.max = if is_first { other.max } else { self.max.max(other.max) };
        }
        self.n_batches += other.n_batches;
        self.n_values += other.n_values;
        self.histogram += &other.histogram;
    }
}

/// The parameters of an activation with those statistics, by the method that its configuration asks for.
pub fn activation_params(
    statistics: &Statistics,
    config: &ActivationConfig,
    asymmetric: bool,
) -> QuantParams {
    let bits = config.num_bits;
    let (min, max) = match &config.method {
        ActivationMethod::MinMax => (statistics.min, statistics.max),
        ActivationMethod::Ifmr(ifmr) => ifmr::range(statistics, ifmr, bits, asymmetric),
        ActivationMethod::Hfmg { num_of_bins } => hfmg::range(statistics, *num_of_bins, bits),
    };
    if asymmetric { QuantParams::asymmetric(min, max, bits) } else { QuantParams::symmetric(min, max, bits) }
}

/// The `k`-th least value, `k` from 1, to the precision of the bins; the least and the greatest are exact.
fn order_statistic(statistics: &Statistics, bins: &[Bin], k: u64) -> f64 {
    if k <= 1 {
        return f64::from(statistics.min);
    }
    let mut below = 0;
    for bin in bins {
        if below + bin.count >= k {
            let inside = (k - below) as f64 / bin.count as f64;
            let value = bin.low + inside * (bin.high - bin.low);
            return value.clamp(f64::from(statistics.min), f64::from(statistics.max));
        }
        below += bin.count;
    }
    f64::from(statistics.max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_shards_add_up() {
        let values = [0.5f32, -2.0, 7.25, 0.0];
        let [mut whole, mut a, mut b] = [(); 3].map(|()| Statistics::default());
        whole.observe(&values[..1]).unwrap();
        whole.observe(&values[1..]).unwrap();
        a.observe(&values[..1]).unwrap();
        b.observe(&values[1..]).unwrap();
        b += &a;
        assert_eq!(b, whole);
        assert_eq!((whole.min, whole.max, whole.n_values, whole.n_batches), (-2.0, 7.25, 4, 2));
    }

    #[test]
    fn not_a_number_is_refused() {
        let error = Statistics::default().observe(&[1.0, f32::NAN]).unwrap_err();
        assert_eq!(error.to_string(), "the calibration data give NaN here; check them");
    }
}
