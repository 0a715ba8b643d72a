//! The distribution of an activation over all calibration data, for drawings: a few bins of equal width.

use crate::observer::Statistics;

/// Counts of the values of an activation in bins of equal width from the least to the greatest value.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueHistogram {
    /// The least observed value.
    pub min: f32,
    /// The greatest observed value, more than the least.
    pub max: f32,
    /// The number of values in each bin, at least one bin.
    pub counts: Vec<u64>,
}

impl ValueHistogram {
    /// The distribution in `n_bins` bins; `None` if all observed values are equal, or there are none.
    pub fn of(statistics: &Statistics, n_bins: usize) -> Option<ValueHistogram> {
        let (min, max) = (f64::from(statistics.min), f64::from(statistics.max));
        if max <= min || n_bins == 0 {
            return None;
        }
        let mut counts = vec![0; n_bins];
        for bin in statistics.histogram.bins(0.0) {
            // The outermost bins of the statistics reach over the ends.
            let part = ((bin.low + bin.high) / 2.0 - min) / (max - min);
            let position = (part * n_bins as f64).max(0.0) as usize;
            counts[position.min(n_bins - 1)] += bin.count;
        }
        Some(ValueHistogram { min: statistics.min, max: statistics.max, counts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::Tensor;

    fn of(values: &[f32], n_bins: usize) -> Option<ValueHistogram> {
        let mut statistics = Statistics::default();
        statistics.observe(&Tensor::new(&[values.len()], values.to_vec())).unwrap();
        ValueHistogram::of(&statistics, n_bins)
    }

    #[test]
    fn values_are_counted_in_bins_of_equal_width() {
        let values: Vec<f32> = (0..4000).map(|idx| idx as f32 / 1000.0 - 1.0).collect();
        let found = of(&values, 4).unwrap();
        assert_eq!((found.min, found.max), (-1.0, 2.999));
        assert_eq!(found.counts.iter().sum::<u64>(), 4000);
        // A bin of the statistics is at most 1/512 of its numbers wide.
        assert!(found.counts.iter().all(|count| count.abs_diff(1000) <= 8), "{:?}", found.counts);
    }

    #[test]
    fn equal_values_have_no_distribution() {
        assert_eq!((of(&[1.5; 3], 8), of(&[], 8)), (None, None));
        assert_eq!(of(&[0.0, 0.0, 0.0, 1.0], 2).unwrap().counts, [3, 1]);
    }
}
