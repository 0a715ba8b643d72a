//! The range of least squared quantization error: both ends are moved in turn until neither move reduces the error.

use super::error::{Masses, error_up_to, params_of};
use super::percentile::fine_bins;
use super::{Histogram, Statistics};

/// The ratio of each tried range to the one before.
const SHRINK: f32 = 0.97;
/// The largest number of ranges in one search; the last one is about a hundredth of the whole.
const MAX_TRIES: usize = 150;
const MAX_ROUNDS: usize = 4;
/// The errors of rounding and of clipping are convex in the end of a range, so a search that has not improved for long ends.
const MAX_MISSES: usize = 30;

/// The range to cover, by the error over `histogram`. Never worse than the whole range.
pub(super) fn range(
    statistics: &Statistics,
    histogram: &Histogram,
    bits: u8,
    asymmetric: bool,
) -> (f32, f32) {
    let masses = Masses::of(&fine_bins(histogram));
    let error = |bound, range| error_up_to(bound, &masses, &params_of(range, bits, asymmetric));
    let mut best = (statistics.min.min(0.0), statistics.max.max(0.0));
    let mut least = error(f64::INFINITY, best);
    for _ in 0..MAX_ROUNDS {
        let before = least;
        for end in [End::High, End::Low] {
            let tries = (0..MAX_TRIES).scan(best, |range, _| {
                *range = end.shrunk(*range, asymmetric);
                Some(*range)
            });
            let mut n_misses = 0;
            for candidate in tries {
                let found = error(least, candidate);
                n_misses += 1;
                if found < least {
                    (best, least, n_misses) = (candidate, found, 0);
                } else if n_misses == MAX_MISSES {
                    break;
                }
            }
        }
        if least >= before {
            break;
        }
    }
    best
}

#[derive(Clone, Copy)]
enum End {
    High,
    Low,
}

impl End {
    /// Without an offset only the farther end matters, so both move.
    fn shrunk(self, (low, high): (f32, f32), asymmetric: bool) -> (f32, f32) {
        match self {
            _ if !asymmetric => (low * SHRINK, high * SHRINK),
            End::High => (low, high * SHRINK),
            End::Low => (low * SHRINK, high),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::Tensor;

    #[test]
    fn outliers_are_clipped_where_that_pays() {
        let mut values: Vec<f32> = (0..200_000).map(|idx| (idx % 2001) as f32 / 1000.0 - 1.0).collect();
        values.extend([40.0, -0.9]);
        let mut statistics = Statistics::default();
        statistics.observe(&Tensor::new(&[values.len()], values.clone())).unwrap();
        for asymmetric in [true, false] {
            let found = range(&statistics, &statistics.histogram, 8, asymmetric);
            let loss = |range: (f32, f32)| -> f64 {
                let params = params_of(range, 8, asymmetric);
                values
                    .iter()
                    .map(|&x| f64::from(params.dequantize(params.quantize(x, 0), 0) - x).powi(2))
                    .sum()
            };
            assert!(loss(found) < 0.85 * loss((-1.0, 40.0)), "{found:?}");
            assert!(found.1 < 35.0, "{found:?}");
        }
    }

    #[test]
    fn a_flat_distribution_is_left_whole() {
        let values: Vec<f32> = (0..100_000).map(|idx| (idx % 1000) as f32 / 1000.0).collect();
        let mut statistics = Statistics::default();
        statistics.observe(&Tensor::new(&[values.len()], values)).unwrap();
        let (low, high) = range(&statistics, &statistics.histogram, 8, true);
        assert!(low == 0.0 && high > 0.96, "{low} {high}");
    }
}
