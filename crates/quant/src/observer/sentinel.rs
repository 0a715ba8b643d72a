//! Values that are a code and not a measure: a floor under a logarithm, a mark for what is missing.
//!
//! They are one number far outside all others, and often there. Whether a network cares how far outside, only running
//! it can tell.

use super::{Bin, Statistics};

/// The least part of all values that a code has.
const OFTEN: f64 = 1e-4;

/// The least part of the whole range that lies between a code and the next value.
const FAR: f64 = 0.25;

/// The statistics of the other values, if the least or the greatest value is a code: its bin is the last one, holds many
/// values, and nothing is near it.
pub(crate) fn without_sentinels(statistics: &Statistics) -> Option<Statistics> {
    let bins = statistics.histogram.bins(0.0);
    let is_code = |outer: &Bin, inner: &Bin| {
        let gap = f64::max(inner.low - outer.high, outer.low - inner.high);
        let extent = f64::from(statistics.max) - f64::from(statistics.min);
        outer.count as f64 >= OFTEN * statistics.n_values as f64 && outer.count > 1 && gap >= FAR * extent
    };
    let mut inner = &bins[..];
    if let [first, second, ..] = inner
        && first.high < 0.0
        && is_code(first, second)
    {
        inner = &inner[1..];
    }
    if let [.., second, last] = inner
        && last.low > 0.0
        && is_code(last, second)
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

    /// The range without codes, of a bulk from -4 to 4 and other values.
    fn range(others: &[f32]) -> Option<(f32, f32)> {
        let mut values: Vec<f32> =
            (0..10_000).map(|idx| (idx as f32 * 0.618_034).fract() * 8.0 - 4.0).collect();
        values.extend(others);
        let mut statistics = Statistics::default();
        statistics.observe(&Tensor::new(&[values.len()], values)).unwrap();
        without_sentinels(&statistics).map(|others| (others.min.round(), others.max.round()))
    }

    #[test]
    fn a_code_is_one_value_often_and_far() {
        assert_eq!(range(&[-100.0; 20]), Some((-4.0, 4.0)));
        assert_eq!(range(&[[-100.0; 20], [100.0; 20]].concat()), Some((-4.0, 4.0)));
        assert_eq!(range(&[-100.0]), None);
        assert_eq!(range(&[-5.0; 20]), None);
        let tail: Vec<f32> = (0..20).map(|idx| -100.0 + idx as f32 * 5.0).collect();
        assert_eq!((range(&tail), range(&[])), (None, None));
    }
}
