//! Sentinel values: values that mark a state and measure nothing, such as the floor under a logarithm or a missing entry.
//!
//! A sentinel value is one number far outside of all others, and frequent. Only running a network shows
//! whether it depends on that distance.

use super::{Bin, Statistics};

/// The least part of all values that are a sentinel value.
const OFTEN: f64 = 1e-4;

/// The least part of the whole range that lies between a sentinel value and the next value.
const FAR: f64 = 0.25;

/// The statistics of the other values, if the least or the greatest value is a sentinel value: its bin is the outermost, holds
/// many values, and no other is near it.
pub(crate) fn without_sentinels(statistics: &Statistics) -> Option<Statistics> {
    let bins = statistics.histogram.bins(0.0);
    let is_sentinel = |outer: &Bin, inner: &Bin| {
        let gap = f64::max(inner.low - outer.high, outer.low - inner.high);
        let extent = f64::from(statistics.max) - f64::from(statistics.min);
        outer.count as f64 >= OFTEN * statistics.n_values as f64 && outer.count > 1 && gap >= FAR * extent
    };
    let mut inner = &bins[..];
    if let [first, second, ..] = inner
        && first.high < 0.0
        && is_sentinel(first, second)
    {
        inner = &inner[1..];
    }
    if let [.., second, last] = inner
        && last.low > 0.0
        && is_sentinel(last, second)
    {
        inner = &inner[..inner.len() - 1];
    }
    let (first, last) = (inner.first()?, inner.last()?);
    if inner.len() == bins.len() {
        return None;
    }
    let mut others = statistics.clone();
    others.n_values = inner.iter().map(|bin| bin.count).sum();
    (others.min, others.max) = (statistics.min.max(first.low as f32), statistics.max.min(last.high as f32));
    others.histogram = statistics.histogram.within(first.low, last.high);
    if let Some(weighted) = &mut others.weighted {
        weighted.histogram = weighted.histogram.within(first.low, last.high);
    }
    Some(others)
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::Tensor;

    /// The range without sentinel values, of a bulk from -4 to 4 and other values.
    fn range(others: &[f32]) -> Option<(f32, f32)> {
        let mut values: Vec<f32> =
            (0..10_000).map(|idx| (idx as f32 * 0.618_034).fract() * 8.0 - 4.0).collect();
        values.extend(others);
        let mut statistics = Statistics::default();
        statistics.observe(&Tensor::new(&[values.len()], values)).unwrap();
        without_sentinels(&statistics).map(|others| (others.min.round(), others.max.round()))
    }

    #[test]
    fn a_sentinel_is_one_frequent_value_far_from_all_others() {
        assert_eq!(range(&[-100.0; 20]), Some((-4.0, 4.0)));
        assert_eq!(range(&[[-100.0; 20], [100.0; 20]].concat()), Some((-4.0, 4.0)));
        assert_eq!(range(&[-100.0]), None);
        assert_eq!(range(&[-5.0; 20]), None);
        // A ten-thousandth of the values must be it: two of 19 000, but not of 21 000.
        let many = |n: usize| (0..n - 10_000).map(|idx| (idx as f32 * 0.618_034).fract()).collect::<Vec<_>>();
        assert_eq!(range(&[many(19_000), vec![-100.0; 2]].concat()), Some((-4.0, 4.0)));
        assert_eq!(range(&[many(21_000), vec![-100.0; 2]].concat()), None);
        // A quarter of the range must lie between: of -6.8 to 4, 2.8 do, and of -6.5 to 4, 2.5.
        assert_eq!(range(&[-6.8; 20]), Some((-4.0, 4.0)));
        assert_eq!(range(&[-6.5; 20]), None);
        let tail: Vec<f32> = (0..20).map(|idx| -100.0 + idx as f32 * 5.0).collect();
        assert_eq!((range(&tail), range(&[])), (None, None));
    }
}
