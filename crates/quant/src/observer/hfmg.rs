//! HFMG, AMCT's histogram method for activations: a range is trimmed greedily from both ends, and of the ranges on
//! the way the one with the least squared error of requantization is chosen.
//!
//! AMCT changes its bins while data arrive; here the bins are computed once, from the fixed bins of the statistics.

use super::{Bin, Statistics};
use crate::params::QuantParams;

/// The range to cover.
pub(super) fn range(statistics: &Statistics, n_bins: usize, bits: u8) -> (f32, f32) {
    let (min, max) = (f64::from(statistics.min), f64::from(statistics.max));
    let width = (max - min) / n_bins as f64;
    if width <= 0.0 {
        return (statistics.min, statistics.max);
    }
    let counts = linear_bins(&statistics.histogram.bins(width / 4.0), min, width, n_bins);
    let (qmin, qmax) = QuantParams::integers(bits);
    let n_levels = (qmax - qmin + 1) as usize;
    let best = trimmed(&counts)
        .into_iter()
        .map(|(left, right)| (loss(&counts, left, right, n_levels), left, right))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    let (_, left, right) = best.expect("the whole range is a candidate");
    ((min + left as f64 * width) as f32, (min + (right + 1) as f64 * width) as f32)
}

/// Spreads the fixed bins over `n_bins` of equal width, each evenly.
fn linear_bins(bins: &[Bin], min: f64, width: f64, n_bins: usize) -> Vec<f64> {
    let mut counts = vec![0.0; n_bins];
    for bin in bins {
        let (low, high) = ((bin.low - min) / width, (bin.high - min) / width);
        let last = n_bins as f64;
        let (low, high) = (low.clamp(0.0, last), high.clamp(0.0, last));
        let first = (low as usize).min(n_bins - 1);
        if high <= low || (high - 1e-12) as usize <= first {
            counts[first] += bin.count as f64;
            continue;
        }
        let density = bin.count as f64 / (high - low);
        for (idx, count) in counts.iter_mut().enumerate().take((high.ceil() as usize).min(n_bins)).skip(first)
        {
            let inside = high.min(idx as f64 + 1.0) - low.max(idx as f64);
            *count += density * inside.max(0.0);
        }
    }
    counts
}

/// The ranges `(left, right)` of bins that greedy trimming passes, the whole first. Each step drops a
/// hundred-thousandth of the values from the end where that frees more bins, down to a quarter of the bins.
fn trimmed(counts: &[f64]) -> Vec<(usize, usize)> {
    let total: f64 = counts.iter().sum();
    let step = (total / 100_000.0).ceil().max(1.0);
    let (mut left, mut right) = (0, counts.len() - 1);
    let mut ranges = vec![(left, right)];
    let enough = counts.len().div_ceil(4);
    while right - left > enough {
        let next_left = advance(counts, step, left..right).map_or(right, |idx| idx + 1);
        let next_right = advance(counts, step, (left + 1..=right).rev()).map_or(left, |idx| idx - 1);
        if next_left - left > right - next_right {
            left = next_left
        } else {
            right = next_right
        }
        if left >= right {
            break;
        }
        ranges.push((left, right));
    }
    ranges
}

/// The bin at which an end that moves through `range` has dropped `step` values.
fn advance(counts: &[f64], step: f64, mut range: impl Iterator<Item = usize>) -> Option<usize> {
    let mut dropped = 0.0;
    range.find(|&idx| {
        dropped += counts[idx];
        dropped >= step
    })
}

/// The squared error, in units of bins, when bins `left..=right` are requantized to `n_levels` equal levels.
/// A value's error is its distance from the middle of its level, integrated over the bin as if spread evenly.
fn loss(counts: &[f64], left: usize, right: usize, n_levels: usize) -> f64 {
    let level = (right - left + 1) as f64 / n_levels as f64;
    let cubed = |x: f64| x * x * x / 3.0;
    let of_bin = |(idx, &count): (usize, &f64)| {
        if count == 0.0 {
            return 0.0;
        }
        let (low, high) = (idx as f64 - left as f64, idx as f64 + 1.0 - left as f64);
        let level_of = |x: f64| ((x / level).floor()).clamp(0.0, n_levels as f64 - 1.0);
        let (first, last) = (level_of(low), level_of(high));
        let mut sum = 0.0;
        let mut at = first;
        while at <= last {
            let middle = (at + 0.5) * level;
            let from = if at == first { low } else { at * level };
            let to = if at == last { high } else { (at + 1.0) * level };
            sum += cubed(to - middle) - cubed(from - middle);
            at += 1.0;
        }
        count * sum
    };
    counts.iter().enumerate().map(of_bin).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bin_a_level_errs_by_a_twelfth() {
        // Evenly spread values err by width²/12 on average.
        let counts = vec![3.0; 256];
        assert!((loss(&counts, 0, 255, 256) - 3.0 * 256.0 / 12.0).abs() < 1e-9);
        // Two bins a level: width 2.
        assert!((loss(&vec![1.0; 512], 0, 511, 256) - 512.0 * 4.0 / 12.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_clipped_counts_with_its_distance() {
        let mut counts = vec![0.0; 512];
        counts[511] = 1.0;
        // Levels of width 1 over bins 0..=255; the last level's middle is 255.5, the value lies in 511..512.
        let expected = (256.5f64.powi(3) - 255.5f64.powi(3)) / 3.0;
        assert!((loss(&counts, 0, 255, 256) - expected).abs() < 1e-6);
    }

    #[test]
    fn each_step_frees_as_many_bins_as_it_can() {
        // Each step drops one value. First the left end would free 1 bin, the right end 3; then both would free 1, and the
        // right end moves; then both would free 1 again. At a distance of 8 / 4 = 2 bins it stops.
        let counts = [1.0, 5.0, 9.0, 1.0, 1.0, 1.0, 0.0, 0.0];
        assert_eq!(trimmed(&counts), [(0, 7), (0, 4), (0, 3), (0, 2)]);
        // If the left end frees more bins, the left end moves.
        let counts = [0.0, 0.0, 1.0, 4.0, 9.0, 9.0, 4.0, 3.0];
        assert_eq!(trimmed(&counts)[1], (3, 7));
    }

    #[test]
    fn no_worse_than_the_whole_range() {
        for power in 1..6 {
            let values: Vec<f32> = (0..40_000).map(|idx| (idx as f32 / 20_000.0 - 1.0).powi(power)).collect();
            let mut statistics = Statistics::default();
            statistics.observe(&intact8_ir::Tensor::new(&[values.len()], values)).unwrap();
            let (min, max) = (f64::from(statistics.min), f64::from(statistics.max));
            let width = (max - min) / 1024.0;
            let counts = linear_bins(&statistics.histogram.bins(width / 4.0), min, width, 1024);
            let (low, high) = range(&statistics, 1024, 8);
            let bin = |x: f32| ((f64::from(x) - min) / width).round() as usize;
            let found = loss(&counts, bin(low), bin(high) - 1, 256);
            assert!(found <= loss(&counts, 0, 1023, 256), "{power}: {low} {high}");
        }
    }

    #[test]
    fn a_lone_outlier_is_trimmed() {
        let mut values: Vec<f32> = (0..1_000_000).map(|idx| (idx % 1000) as f32 / 1000.0).collect();
        values.push(3.0);
        let mut statistics = Statistics::default();
        statistics.observe(&intact8_ir::Tensor::new(&[values.len()], values)).unwrap();
        let (low, high) = range(&statistics, 4096, 8);
        assert!(low.abs() < 1e-3 && (high - 1.0).abs() < 0.01, "{low} {high}");
    }
}
