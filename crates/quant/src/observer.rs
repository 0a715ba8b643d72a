//! Observers: statistics of the values of an activation, and the range that each method selects from them.
//!
//! [`Statistics`] observes every batch once; the methods are functions of statistics, one file each, so that one pass over
//! the data is enough for all of them.

mod auto;
mod error;
mod hfmg;
mod histogram;
mod ifmr;
mod kl;
mod mse;
mod percentile;
mod sentinel;
mod statistics;
mod weighted;

pub use histogram::{Bin, Histogram, MAX_BINS, PackedHistogram};
pub(crate) use sentinel::without_sentinels;
pub(crate) use statistics::check_channels;
pub use statistics::{ChannelMaxima, Statistics};
pub use weighted::Weighted;

use crate::config::{ActivationConfig, ActivationMethod};
use crate::params::{QuantParams, check_range};
use intact8_ir::Result;

/// The parameters of an activation with those statistics, by the method of its configuration.
///
/// An error if the configuration is out of range, or the statistics are of a reversed or infinite range.
pub fn activation_params(
    statistics: &Statistics,
    config: &ActivationConfig,
    asymmetric: bool,
) -> Result<QuantParams> {
    config.check()?;
    check_range(statistics.min, statistics.max)?;
    Ok(params_of_checked(statistics, config, asymmetric))
}

/// The same, of a configuration and statistics that were checked before.
pub(crate) fn params_of_checked(
    statistics: &Statistics,
    config: &ActivationConfig,
    asymmetric: bool,
) -> QuantParams {
    let bits = config.num_bits;
    let (min, max) = match range(statistics, &config.method, bits, asymmetric) {
        // So few values differ from 0 that the method clips them all.
        (min, max) if min == max && min == 0.0 => (statistics.min, statistics.max),
        chosen => chosen,
    };
    QuantParams::covering(min, max, bits, asymmetric)
}

fn range(statistics: &Statistics, method: &ActivationMethod, bits: u8, asymmetric: bool) -> (f32, f32) {
    match method {
        ActivationMethod::MinMax => (statistics.min, statistics.max),
        ActivationMethod::MovingAverage => {
            let n_batches = statistics.n_batches.max(1) as f64;
            let [min, max] =
                [&statistics.sum_of_min, &statistics.sum_of_max].map(|sum| (sum.value() / n_batches) as f32);
            (min, max)
        }
        ActivationMethod::Percentile(percentile) => percentile::range(statistics, *percentile),
        ActivationMethod::Ifmr(ifmr) => ifmr::range(statistics, ifmr, bits, asymmetric),
        ActivationMethod::Hfmg { num_of_bins } => hfmg::range(statistics, *num_of_bins, bits),
        ActivationMethod::Kl { num_of_bins } => kl::range(statistics, *num_of_bins, bits),
        ActivationMethod::Mse => mse::range(statistics, &statistics.histogram, bits, asymmetric),
        ActivationMethod::Auto => auto::range(statistics, bits, asymmetric),
    }
}

#[cfg(test)]
mod tests {
    use super::error::{Masses, error_of, params_of};
    use super::*;
    use crate::config::Ifmr;
    use intact8_ir::Tensor;

    /// Batches of two channels, `[n, 2]`: distributions of several shapes and centers, with tails of several lengths.
    fn batches(seed: u64) -> Vec<Tensor> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 + 0.5) / (1u64 << 24) as f32
        };
        let (center, spread, tail) = (uniform() * 4.0 - 2.0, 0.1 + uniform(), 1.0 + 30.0 * uniform().powi(3));
        let is_rectified = uniform() < 0.5;
        let mut batch = |n: usize| {
            let value = |_| {
                let far = if uniform() < 0.002 { tail } else { 1.0 };
                let value = center + spread * far * (uniform() + uniform() + uniform() - 1.5);
                if is_rectified { value.max(0.0) } else { value }
            };
            Tensor::new(&[n, 2], (0..2 * n).map(value).collect())
        };
        [700, 1, 1500, 300].map(&mut batch).to_vec()
    }

    fn observed(batches: &[Tensor]) -> Statistics {
        let weighted = Weighted { axis: 1, weights: vec![1, 40], histogram: Histogram::default() };
        let mut statistics = Statistics { weighted: Some(weighted), ..Statistics::default() };
        batches.iter().for_each(|batch| statistics.observe(batch).unwrap());
        statistics
    }

    fn methods() -> Vec<ActivationMethod> {
        let both_ends = Ifmr { both_ends: true, ..Ifmr::default() };
        vec![
            ActivationMethod::MinMax,
            ActivationMethod::MovingAverage,
            ActivationMethod::Percentile(0.999),
            ActivationMethod::Ifmr(Ifmr::default()),
            ActivationMethod::Ifmr(both_ends),
            ActivationMethod::Hfmg { num_of_bins: 1024 },
            ActivationMethod::Kl { num_of_bins: 1024 },
            ActivationMethod::Mse,
            ActivationMethod::Auto,
        ]
    }

    #[test]
    fn shards_give_what_the_whole_gives() {
        for seed in 0..6 {
            let batches = batches(seed);
            let whole = observed(&batches);
            for split in 1..batches.len() {
                let mut shards = observed(&batches[split..]);
                shards += &observed(&batches[..split]);
                for method in methods() {
                    for asymmetric in [true, false] {
                        let of = |statistics: &Statistics| range(statistics, &method, 8, asymmetric);
                        assert_eq!(of(&shards), of(&whole), "{seed} {split} {method:?} {asymmetric}");
                    }
                }
            }
        }
    }

    /// Values like the scores of attention that are masked with the least float.
    #[test]
    fn parameters_are_finite_for_all_extremes() {
        for extreme in [f32::MIN, f32::MAX] {
            let mut values: Vec<f32> = (0..400).map(|idx| (idx % 21) as f32 / 10.0 - 1.0).collect();
            (0..values.len()).step_by(3).for_each(|idx| values[idx] = extreme);
            let batches = [200, 200].map(|n| Tensor::new(&[n / 2, 2], values[..n].to_vec()));
            for method in methods() {
                for (bits, asymmetric) in [(8, true), (8, false), (16, true), (16, false)] {
                    let config =
                        ActivationConfig { num_bits: bits, method: method.clone(), asymmetric: None };
                    let params = activation_params(&observed(&batches), &config, asymmetric);
                    let checked = params.and_then(|params| params.check());
                    assert!(checked.is_ok(), "{extreme} {method:?} {bits} {asymmetric}: {checked:?}");
                }
            }
        }
    }

    #[test]
    fn statistics_and_configurations_out_of_range_are_errors() {
        let config = ActivationConfig::default();
        let message = |statistics: &Statistics, config: &ActivationConfig| {
            activation_params(statistics, config, true).unwrap_err().to_string()
        };
        for (min, max) in [(1.0, -1.0), (f32::NAN, 1.0), (0.0, f32::INFINITY)] {
            let statistics = Statistics { min, max, n_values: 2, ..Statistics::default() };
            assert!(message(&statistics, &config).starts_with("a range must be finite"), "{min} {max}");
        }
        let of_no_bits = ActivationConfig { num_bits: 0, ..config };
        assert_eq!(message(&Statistics::default(), &of_no_bits), "num_bits: must be 8 or 16, found 0");
    }

    #[test]
    fn extremes_and_their_mean() {
        let mut statistics = Statistics::default();
        for batch in [[-1.0f32, 3.0], [-4.0, 2.0], [-1.0, 4.0]] {
            statistics.observe(&Tensor::new(&[2], batch.to_vec())).unwrap();
        }
        let of = |method| range(&statistics, &method, 8, true);
        assert_eq!(of(ActivationMethod::MinMax), (-4.0, 4.0));
        // (-1 - 4 - 1) / 3 and (3 + 2 + 4) / 3.
        assert_eq!(of(ActivationMethod::MovingAverage), (-2.0, 3.0));
    }

    #[test]
    fn searched_ranges_err_no_more_than_the_whole_one() {
        for seed in 0..12 {
            let statistics = observed(&batches(seed));
            let whole = (statistics.min.min(0.0), statistics.max.max(0.0));
            let weighted = &statistics.weighted.as_ref().unwrap().histogram;
            // Each method by the error that it minimizes.
            let measured =
                [(ActivationMethod::Mse, &statistics.histogram), (ActivationMethod::Auto, weighted)];
            for (method, histogram) in measured {
                for (bits, asymmetric) in [(8, true), (8, false), (16, true)] {
                    let masses = Masses::of(&percentile::fine_bins(histogram));
                    let error = |range| error_of(&masses, &params_of(range, bits, asymmetric));
                    let found = error(range(&statistics, &method, bits, asymmetric));
                    assert!(found <= error(whole), "{seed} {method:?} {bits} {asymmetric}");
                }
            }
        }
    }
}
