//! IFMR, AMCT's default method for activations: the clipped range whose quantization error is least.
//!
//! The first range lies between two percentiles. Its upper end is then multiplied by each factor of a grid, and the range
//! with the least mean squared error is chosen. AMCT's documents move both ends, as `both_ends` does; its code moves only
//! the upper end. If the offset is 0, both ends move alike. The error is that of the histogram's bins.

use super::Statistics;
use super::error::{Masses, squared_error};
use super::percentile::order_statistic;
use crate::config::Ifmr;
use crate::params::QuantParams;

/// The range to cover.
pub(super) fn range(statistics: &Statistics, config: &Ifmr, bits: u8, asymmetric: bool) -> (f32, f32) {
    let extent = f64::from(statistics.max.max(0.0)) - f64::from(statistics.min.min(0.0));
    let bins = statistics.histogram.bins(extent / 4096.0);
    let n = statistics.n_values;
    // As many values as AMCT leaves out at each end, and one more.
    let rank = |percentile: f64| n - (percentile * n as f64) as u64;
    let max =
        order_statistic(statistics, &bins, n + 1 - rank(config.max_percentile).clamp(1, n.max(1))).max(0.0);
    let min = order_statistic(statistics, &bins, rank(config.min_percentile).clamp(1, n.max(1))).min(0.0);
    let (qmin, qmax) = QuantParams::integers(bits);
    let factors = || config.factors();
    let candidates: Vec<(f64, f64, f64)> = match asymmetric {
        true => {
            let lows: Vec<f64> =
                if config.both_ends { factors().map(|f| f * min).collect() } else { vec![min] };
            let steps = f64::from(qmax - qmin);
            let pairs = lows.into_iter().flat_map(|low| factors().map(move |f| (low, f * max)));
            pairs.map(|(low, high)| (low, high, (high - low) / steps)).collect()
        }
        false => {
            let steps = if max >= -min { f64::from(qmax) } else { -f64::from(qmin) };
            let reach = max.max(-min);
            factors().map(|f| (-f * reach, f * reach, f * reach / steps)).collect()
        }
    };
    let masses = Masses::of(&bins);
    let best = candidates
        .into_iter()
        .map(|(low, high, step)| (squared_error(&masses, low, high, step), low, high))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    let Some((_, low, high)) = best else { return (min as f32, max as f32) };
    if asymmetric || max >= -min { (low as f32, high as f32) } else { (low as f32, 0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ActivationConfig, ActivationMethod};
    use crate::observer::activation_params;
    use intact8_ir::Tensor;

    fn statistics(values: &[f32]) -> Statistics {
        let mut statistics = Statistics::default();
        statistics.observe(&Tensor::new(&[values.len()], values.to_vec())).unwrap();
        statistics
    }

    /// The definition, on the values themselves.
    fn reference(values: &[f32], config: &Ifmr, asymmetric: bool) -> f64 {
        let mut sorted: Vec<f64> = values.iter().copied().map(f64::from).collect();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let kth = |p: f64| (n - (p * n as f64) as usize).max(1);
        let max = sorted[n - kth(config.max_percentile)].max(0.0);
        let min = sorted[kth(config.min_percentile) - 1].min(0.0);
        let loss = |low: f64, high: f64, step: f64| -> f64 {
            sorted.iter().map(|x| ((x.clamp(low, high) / step).round_ties_even() * step - x).powi(2)).sum()
        };
        let scale_of = |factor: f64| match asymmetric {
            true => (min, factor * max, (factor * max - min) / 255.0),
            false if max >= -min => (-factor * max, factor * max, factor * max / 127.0),
            false => (factor * min, -factor * min, -factor * min / 128.0),
        };
        let candidates =
            config.factors().map(scale_of).map(|(low, high, step)| (loss(low, high, step), step));
        candidates.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap().1
    }

    /// A spread of values with a long tail, from a multiplicative generator.
    fn tailed(seed: u64, sign: f32) -> Vec<f32> {
        let mut state = seed;
        let mut uniform = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 40) as f64 + 0.5) / (1u64 << 24) as f64
        };
        (0..20_000).map(|_| (sign as f64 * -uniform().ln() * 3.0 - uniform() * 2.0) as f32).collect()
    }

    #[test]
    fn the_bins_choose_as_the_values_do() {
        let config = Ifmr::default();
        for (seed, sign) in [(1, 1.0), (2, 1.0), (3, -1.0)] {
            let values = tailed(seed, sign);
            for asymmetric in [true, false] {
                let activation =
                    ActivationConfig { method: ActivationMethod::Ifmr(config.clone()), ..Default::default() };
                let found = f64::from(
                    activation_params(&statistics(&values), &activation, asymmetric).unwrap().scale[0],
                );
                let expected = reference(&values, &config, asymmetric);
                assert!((found / expected - 1.0).abs() < 0.011, "{seed} {asymmetric}: {found} {expected}");
            }
        }
    }

    #[test]
    fn an_outlier_is_cut_off_as_far_as_the_search_goes() {
        let mut values: Vec<f32> = (0..1_000_000).map(|idx| (idx % 1009) as f32 / 1009.0).collect();
        values.push(1.5);
        let config = Ifmr { max_percentile: 1.0, ..Ifmr::default() };
        let (_, high) = range(&statistics(&values), &config, 8, true);
        assert!((high - 0.7 * 1.5).abs() < 0.02, "{high}");
    }

    #[test]
    fn the_search_as_the_document_states_it() {
        // Three zeros and a 1, two factors, 2 bits. With the factor 1 the step is 1/3, without an error; with ½ it is 1/6, and
        // 1 is clipped to ½. With the outlier 4 beside 96 times 1, the factors of 4 from ½ to 1 have the steps ⅔, 1, 4/3:
        // 1 becomes 4/3 (1½ steps, to even), 1 and 4/3, and 4 becomes 2, 3, 4. The errors are 96/9 + 4, 0 + 1 and 96/9.
        let config = Ifmr {
            max_percentile: 1.0,
            min_percentile: 1.0,
            search_range: [0.5, 1.25],
            search_step: 0.25,
            both_ends: false,
        };
        let mut values = vec![1.0f32; 96];
        values.push(4.0);
        assert_eq!(range(&statistics(&values), &config, 2, true), (0.0, 3.0));
        let config = Ifmr { search_range: [0.5, 1.5], search_step: 0.5, ..config };
        assert_eq!(range(&statistics(&[0.0, 0.0, 0.0, 1.0]), &config, 2, true), (0.0, 1.0));
    }

    #[test]
    fn no_worse_than_the_whole_range() {
        // Fewer values than the percentile leaves any out of: the factor 1 is the whole range.
        let config = Ifmr::default();
        for (seed, sign) in [(4, 1.0), (5, -1.0), (6, 1.0)] {
            let values = tailed(seed, sign);
            let statistics = statistics(&values);
            let bins =
                statistics.histogram.bins((f64::from(statistics.max) - f64::from(statistics.min)) / 4096.0);
            let masses = Masses::of(&bins);
            let loss = |(low, high): (f32, f32)| {
                let (low, high) = (f64::from(low), f64::from(high));
                squared_error(&masses, low, high, (high - low) / 255.0)
            };
            let whole = (statistics.min.min(0.0), statistics.max.max(0.0));
            assert!(loss(range(&statistics, &config, 8, true)) <= loss(whole), "{seed}");
        }
    }

    #[test]
    fn zeros_need_no_range() {
        assert_eq!(range(&statistics(&[0.0; 8]), &Ifmr::default(), 8, true), (0.0, 0.0));
    }
}
