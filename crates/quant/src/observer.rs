//! Observers: what the values of an activation were, and which range a method makes of that.
//!
//! [`Statistics`] sees every batch once; the methods are functions of statistics, one file each, so that one pass over
//! the data serves them all.

mod auto;
mod error;
mod hfmg;
mod histogram;
mod ifmr;
mod kl;
mod mse;
mod percentile;
mod statistics;

pub use histogram::{Bin, Histogram};
pub use statistics::{ChannelMaxima, Statistics, Weighted};

use crate::config::{ActivationConfig, ActivationMethod};
use crate::params::QuantParams;

/// The parameters of an activation with those statistics, by the method that its configuration asks for.
pub fn activation_params(
    statistics: &Statistics,
    config: &ActivationConfig,
    asymmetric: bool,
) -> QuantParams {
    let bits = config.num_bits;
    let (min, max) = range(statistics, &config.method, bits, asymmetric);
    if asymmetric { QuantParams::asymmetric(min, max, bits) } else { QuantParams::symmetric(min, max, bits) }
}

fn range(statistics: &Statistics, method: &ActivationMethod, bits: u8, asymmetric: bool) -> (f32, f32) {
    match method {
        ActivationMethod::MinMax => (statistics.min, statistics.max),
        ActivationMethod::MovingAverage => {
            let n_batches = statistics.n_batches.max(1) as f64;
            ((statistics.sum_of_min / n_batches) as f32, (statistics.sum_of_max / n_batches) as f32)
        }
        ActivationMethod::Percentile(percentile) => percentile::range(statistics, *percentile),
        ActivationMethod::Ifmr(ifmr) => ifmr::range(statistics, ifmr, bits, asymmetric),
        ActivationMethod::Hfmg { num_of_bins } => hfmg::range(statistics, *num_of_bins, bits),
        ActivationMethod::Kl { num_of_bins } => kl::range(statistics, *num_of_bins, bits),
        ActivationMethod::Mse => mse::range(statistics, &statistics.histogram, bits, asymmetric),
        ActivationMethod::Auto => auto::range(statistics, bits, asymmetric),
    }
}
