//! Weighted histograms: counts in which each channel has a weight, in addition to plain counts.

use super::Histogram;
use super::statistics::for_each_channel;
use intact8_ir::Result;
#[cfg(feature = "config-files")]
use serde::{Deserialize, Serialize};
use std::cell::RefCell;

/// A histogram in which each channel has a weight.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "config-files", derive(Serialize, Deserialize))]
pub struct Weighted {
    /// The dimension that counts channels; from the end if negative.
    pub axis: isize,
    /// The weight of each value of a channel.
    pub weights: Vec<u32>,
    /// The counts.
    pub histogram: Histogram,
}

thread_local! {
    /// Both counts at once; empty between uses.
    static BOTH: RefCell<Histogram> = RefCell::default();
}

/// Fewer values are counted twice: separating both counts costs as much as counting that many values.
const FEW: usize = 4096;

impl Weighted {
    /// Counts finite values of that shape, in `plain` each of them once.
    pub(super) fn count_both(
        &mut self,
        values: &[f32],
        shape: &[usize],
        plain: &mut Histogram,
    ) -> Result<()> {
        let weight_of = |channel: usize| self.weights.get(channel).copied().unwrap_or(1);
        if values.len() < FEW {
            plain.count(values, 1);
            return for_each_channel(values, shape, self.axis, |channel, values| {
                self.histogram.count(values, u64::from(weight_of(channel)));
            });
        }
        // Half of a count for each way; so many values can't overflow either half.
        let heaviest = self.weights.iter().copied().max().unwrap_or(1).max(1);
        let most = (u32::MAX / heaviest) as usize;
        BOTH.with_borrow_mut(|both| {
            let mut n_packed = 0;
            for_each_channel(values, shape, self.axis, |channel, values| {
                for values in values.chunks(most) {
                    if n_packed + values.len() > most {
                        both.drain_halves(plain, &mut self.histogram);
                        n_packed = 0;
                    }
                    both.count(values, u64::from(weight_of(channel)) << 32 | 1);
                    n_packed += values.len();
                }
            })?;
            both.drain_halves(plain, &mut self.histogram);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many values and few, of light and of heavy channels: halves never run into each other.
    #[test]
    fn counting_both_at_once_is_counting_twice() {
        let value = |idx: usize| ((idx * 7919) % 1009) as f32 / 100.0 - 2.0;
        for (len, heavy) in [(FEW / 2, 3), (3 * FEW, 3), (3 * FEW, u32::MAX / 5000)] {
            let values: Vec<f32> = (0..len).map(value).collect();
            for (axis, shape) in [(1, [2, 2, len / 4]), (-1, [1, len / 2, 2])] {
                let mut found = Weighted { axis, weights: vec![1, heavy], histogram: Histogram::default() };
                let [mut plain, mut expected, mut weighted] = [(); 3].map(|()| Histogram::default());
                found.count_both(&values, &shape, &mut plain).unwrap();
                expected.count(&values, 1);
                for_each_channel(&values, &shape, axis, |channel, values| {
                    weighted.count(values, [1, u64::from(heavy)][channel]);
                })
                .unwrap();
                assert!(plain == expected && found.histogram == weighted, "{len} {heavy} {axis}");
            }
        }
    }
}
