//! The symmetric range whose quantized distribution is closest to the original by Kullback-Leibler divergence.
//!
//! The method of TensorRT's entropy calibration: of the histogram of magnitudes, every number of bins from the number of
//! levels upwards is tried as the range; values outside count in the last bin, and the bins inside are spread over the levels.

use super::Statistics;
use crate::params::QuantParams;

/// The range to cover.
pub(super) fn range(statistics: &Statistics, n_bins: usize, bits: u8) -> (f32, f32) {
    let reach = f64::from(statistics.max.abs().max(statistics.min.abs()));
    if reach == 0.0 {
        return (0.0, 0.0);
    }
    let width = reach / n_bins as f64;
    let mut counts = vec![0.0; n_bins];
    for bin in statistics.histogram.bins(width / 4.0) {
        let middle = ((bin.low + bin.high) / 2.0).abs();
        counts[((middle / width) as usize).min(n_bins - 1)] += bin.count as f64;
    }
    // Zeros do not constrain the range, and there may be very many of them.
    counts[0] = counts.get(1).copied().unwrap_or(0.0);
    let n_levels = QuantParams::integers(bits).1 as usize + 1;
    let sums = Sums::of(&counts);
    let estimates: Vec<f64> = (n_levels..=n_bins).map(|n| sums.divergence(n, n_levels)).collect();
    let least = estimates.iter().copied().fold(f64::INFINITY, f64::min);
    let may_be_least =
        (n_levels..=n_bins).zip(&estimates).filter(|(_, estimate)| **estimate <= least + CLOSE);
    let divergences = may_be_least.map(|(n, _)| (divergence(&counts, n, n_levels), n));
    let best = divergences.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(n_bins, |(_, n)| n);
    let threshold = (best as f64 * width) as f32;
    (statistics.min.max(-threshold), statistics.max.min(threshold))
}

/// More than twice what rounding can do to a divergence or to its estimate: of each 2048 terms of less than 50, together
/// with their weights, it makes less than 2048 · 50 · 2^-52 = 2.3e-11.
const CLOSE: f64 = 1e-9;

/// Sums over the first bins, for each number of them. With these a divergence needs one logarithm for each level instead of
/// one for each bin, up to rounding, which would decide between equal ranges.
struct Sums {
    counts: Vec<f64>,
    /// The number of bins that are not empty.
    occupied: Vec<f64>,
    /// Counts times their logarithms.
    entropies: Vec<f64>,
}

impl Sums {
    fn of(counts: &[f64]) -> Sums {
        let sums = |term: &dyn Fn(f64) -> f64| {
            let sums = counts.iter().scan(0.0, |sum, &count| {
                *sum += term(count);
                Some(*sum)
            });
            std::iter::once(0.0).chain(sums).collect()
        };
        Sums {
            counts: sums(&|count| count),
            occupied: sums(&|count| f64::from(u8::from(count > 0.0))),
            entropies: sums(&|count| if count > 0.0 { count * count.ln() } else { 0.0 }),
        }
    }

    /// The result of [`divergence`].
    fn divergence(&self, n: usize, n_levels: usize) -> f64 {
        let (total, inside) = (self.counts[self.counts.len() - 1], self.counts[n]);
        if inside == 0.0 {
            return f64::INFINITY;
        }
        let (mut of_levels, mut in_level, mut start) = (0.0, 0.0, 0);
        for level in 1..=n_levels {
            let end = level * n / n_levels;
            let of_level = |sums: &[f64]| sums[end] - sums[start];
            let count = of_level(&self.counts);
            in_level = if count > 0.0 { count / of_level(&self.occupied) } else { 0.0 };
            of_levels += if count > 0.0 { count * in_level.ln() } else { 0.0 };
            start = end;
        }
        let without_clipping = self.entropies[n] - of_levels - inside * (total / inside).ln();
        // Clipped values count in the last bin.
        let last = inside - self.counts[n - 1];
        let clipped = last + (total - inside);
        let q = if last > 0.0 { in_level / inside } else { 1e-9 };
        let term = |count: f64| if count > 0.0 { count * (count / total / q).ln() } else { 0.0 };
        (without_clipping - term(last) + term(clipped)) / total
    }
}

/// The divergence of the first `n` bins, quantized to `n_levels`, from the original with all other values clipped.
fn divergence(counts: &[f64], n: usize, n_levels: usize) -> f64 {
    let outside: f64 = counts[n..].iter().sum();
    let mut original = counts[..n].to_vec();
    original[n - 1] += outside;
    let (total, inside) = (original.iter().sum::<f64>(), counts[..n].iter().sum::<f64>());
    if inside == 0.0 {
        return f64::INFINITY;
    }
    let mut sum = 0.0;
    for level in 0..n_levels {
        let bins = level * n / n_levels..(level + 1) * n / n_levels;
        let occupied = counts[bins.clone()].iter().filter(|&&count| count > 0.0).count();
        let level_count: f64 = counts[bins.clone()].iter().sum();
        for idx in bins.filter(|&idx| original[idx] > 0.0) {
            let p = original[idx] / total;
            // A bin that holds only clipped values has a tiny count, so that its divergence stays finite.
            let q = if counts[idx] > 0.0 { level_count / occupied as f64 / inside } else { 1e-9 };
            sum += p * (p / q).ln();
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::Tensor;

    #[test]
    fn sums_tell_divergences() {
        let n_bins = 512;
        for gap in [1, 2, 7] {
            let count = |idx: usize| {
                if idx.is_multiple_of(gap) { ((600 - idx) * (idx * 7919 % 101)) as f64 } else { 0.0 }
            };
            let counts: Vec<f64> = (0..n_bins).map(count).collect();
            let sums = Sums::of(&counts);
            for n in 128..=n_bins {
                let (estimate, exact) = (sums.divergence(n, 128), divergence(&counts, n, 128));
                assert!((estimate - exact).abs() < CLOSE / 50.0, "{gap} {n}: {estimate} {exact}");
            }
        }
        assert_eq!(Sums::of(&[0.0; 4]).divergence(4, 2), f64::INFINITY);
    }

    #[test]
    fn a_divergence_by_hand() {
        // Bins 1, 3, 2, 2 on two levels, nothing outside: of eight values the levels hold 4 and 4, each spread over two
        // bins, so every bin is ¼ instead of ⅛, ⅜, ¼, ¼.
        let expected = 0.125 * 0.5f64.ln() + 0.375 * 1.5f64.ln();
        assert!((divergence(&[1.0, 3.0, 2.0, 2.0], 4, 2) - expected).abs() < 1e-12);
        // Cut after two bins, the four values outside go to the last: ⅛ and ⅞ instead of ¼ and ¾, which the levels hold.
        let expected = 0.125 * 0.5f64.ln() + 0.875 * (0.875f64 / 0.75).ln();
        assert!((divergence(&[1.0, 3.0, 2.0, 2.0], 2, 2) - expected).abs() < 1e-12);
    }

    #[test]
    fn a_thin_tail_is_cut() {
        // A normal distribution by summing twelve uniform numbers, with a few values far out.
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        let mut values: Vec<f32> =
            (0..50_000).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect();
        values.extend([30.0, -25.0]);
        let mut statistics = Statistics::default();
        statistics.observe(&Tensor::new(&[values.len()], values)).unwrap();
        let (low, high) = range(&statistics, 2048, 8);
        assert!((2.5..8.0).contains(&high) && (-8.0..-2.5).contains(&low), "{low} {high}");
    }
}
