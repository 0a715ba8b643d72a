//! AMCT's strategy: binary search for the shortest prefix of the ranking.

use super::PureStrategy;
use super::bounds::Bounds;
use crate::outcome::Trial;
use crate::ranking::Ranking;
use intact8_quant::layer::LayerSet;

/// The shortest prefix of the ranking that meets the target, by binary search: about `log2 n` trials for `n` layers.
///
/// It makes the same trials in the same order as AMCT's `BinarySearchStrategy`, except that AMCT repeats the best one at the
/// end. It finds the shortest prefix if rolling back more layers never makes the result worse.
#[derive(Debug, Clone, Copy, Default)]
pub struct BinarySearch;

impl PureStrategy for BinarySearch {
    fn proposal(&self, ranking: &Ranking, history: &[Trial]) -> Option<LayerSet> {
        let bounds = Bounds::of(ranking, history);
        bounds.has_untried().then(|| ranking.worst((bounds.longest_miss + bounds.shortest_hit) / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::simulation::{check_prefixes, prefix_lengths};

    #[test]
    fn prefixes_of_known_traces() {
        check_prefixes(8, 4, &BinarySearch, &[4, 2, 3]);
        check_prefixes(8, 8, &BinarySearch, &[4, 6, 7, 8]);
        check_prefixes(52, 1, &BinarySearch, &[26, 13, 6, 3, 1]);
        check_prefixes(52, 26, &BinarySearch, &[26, 13, 19, 22, 24, 25]);
        check_prefixes(100, 3, &BinarySearch, &[50, 25, 12, 6, 3, 1, 2]);
        check_prefixes(1, 1, &BinarySearch, &[1]);
    }

    #[test]
    fn a_target_that_is_not_monotone_ends_at_adjacent_prefixes() {
        // 4 misses, 6 satisfies, 5 misses: the search ends without repeating 6, and 2 is never tried.
        assert_eq!(prefix_lengths(&BinarySearch, 8, |n| [2, 6].contains(&n)), [Some(4), Some(6), Some(5)]);
    }

    /// AMCT's state machine, as its source describes it: the lengths of the prefixes that it tries, without the repetition of
    /// the best one at the end; `None` if it stops without a result.
    fn amct(n_layers: usize, satisfies: impl Fn(usize) -> bool) -> Vec<Option<usize>> {
        let (mut left, mut right) = (0i64, n_layers as i64 - 1);
        let mut mid = (left + right) / 2;
        let mut visits = vec![];
        loop {
            let prefix = mid as usize + 1;
            if prefix == n_layers {
                visits.push(None);
                return visits;
            }
            visits.push(Some(prefix));
            if satisfies(prefix) {
                right = mid - 1
            } else {
                left = mid + 1
            }
            mid = (left + right).div_euclid(2);
            if left > right {
                return visits;
            }
        }
    }

    #[test]
    fn the_prefixes_tried_are_those_of_amct() {
        for n_layers in 1..=60 {
            for needed in 1..=n_layers {
                let found = prefix_lengths(&BinarySearch, n_layers, |n| n >= needed);
                assert_eq!(found, amct(n_layers, |n| n >= needed), "{n_layers} layers, {needed} needed");
            }
        }
    }
}
