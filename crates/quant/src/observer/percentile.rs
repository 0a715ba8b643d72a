//! The percentile method: the range that holds a chosen part of the values, with equal parts left out at both ends.

use super::{Bin, Histogram, Statistics};

/// The range to cover; `part` is the part of the values in it, 1 for all.
pub(super) fn range(statistics: &Statistics, part: f64) -> (f32, f32) {
    let outside = (1.0 - part) / 2.0;
    let bins = statistics.histogram.bins(0.0);
    let [low, high] = [outside, 1.0 - outside].map(|quantile| {
        let rank = (quantile * statistics.n_values as f64).round() as u64;
        order_statistic(statistics, &bins, rank.clamp(1, statistics.n_values.max(1)))
    });
    (low as f32, high as f32)
}

/// The `k`-th least value, `k` from 1, to the precision of the bins; the least and the greatest are exact.
pub(super) fn order_statistic(statistics: &Statistics, bins: &[Bin], k: u64) -> f64 {
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

/// The values of a histogram in bins that are fine enough for the bulk of them, at any distance of the rest.
pub(super) fn fine_bins(histogram: &Histogram) -> Vec<Bin> {
    let bins = histogram.bins(0.0);
    let total: u64 = bins.iter().map(|bin| bin.count).sum();
    let quantile = |part: f64| {
        let mut left = (part * total as f64) as u64;
        let found = bins.iter().find(|bin| {
            let is_here = bin.count > left;
            left = left.saturating_sub(bin.count);
            is_here
        });
        found.or(bins.last()).map_or(0.0, |bin| (bin.low + bin.high) / 2.0)
    };
    // One percent of the values may lie anywhere; a 4096th of where the rest lies is a 16th of a step of 8 bits.
    let extent = quantile(0.995).max(0.0) - quantile(0.005).min(0.0);
    histogram.bins(extent / 4096.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::Tensor;

    #[test]
    fn as_much_is_left_out_at_either_end() {
        let mut statistics = Statistics::default();
        let values: Vec<f32> = (0..=10_000).map(|idx| idx as f32 / 10_000.0 - 0.25).collect();
        statistics.observe(&Tensor::new(&[values.len()], values)).unwrap();
        let (low, high) = range(&statistics, 0.9);
        assert!((low + 0.2).abs() < 1e-3 && (high - 0.7).abs() < 2e-3, "{low} {high}");
        assert_eq!(range(&statistics, 1.0), (-0.25, 0.75));
    }
}
