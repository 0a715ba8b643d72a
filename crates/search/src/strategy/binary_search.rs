//! The original tool's strategy.

use super::PureStrategy;
use super::bounds::Bounds;
use crate::outcome::Trial;
use crate::ranking::Ranking;
use intact8_quant::layer::LayerSet;

/// The shortest prefix of the ranking that satisfies, by halving: about log2 of the number of layers trials.
///
/// Visits the same configurations in the same order as AMCT's `BinarySearchStrategy`, but for that one's repetition of
/// the best at the end. Finds the shortest prefix if rolling back more never makes things worse.
#[derive(Debug, Clone, Copy, Default)]
pub struct BinarySearch;

impl PureStrategy for BinarySearch {
    fn proposal(&self, ranking: &Ranking, history: &[Trial]) -> Option<LayerSet> {
        let bounds = Bounds::of(ranking, history);
        bounds.are_open().then(|| ranking.worst((bounds.fails + bounds.passes) / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::simulation::{check_prefixes, visits};

    #[test]
    fn the_published_traces() {
        check_prefixes(8, 4, &BinarySearch, &[4, 2, 3]);
        check_prefixes(8, 8, &BinarySearch, &[4, 6, 7, 8]);
        check_prefixes(52, 1, &BinarySearch, &[26, 13, 6, 3, 1]);
        check_prefixes(52, 26, &BinarySearch, &[26, 13, 19, 22, 24, 25]);
        check_prefixes(100, 3, &BinarySearch, &[50, 25, 12, 6, 3, 1, 2]);
        check_prefixes(1, 1, &BinarySearch, &[1]);
    }

    #[test]
    fn a_target_that_is_not_monotone() {
        // 4 fails, 6 satisfies, 5 fails: the end, without the repetition of 6, and 2 is never tried.
        assert_eq!(visits(&BinarySearch, 8, |n| [2, 6].contains(&n)), [Some(4), Some(6), Some(5)]);
    }

    /// The original's state machine, as its source describes it: the prefixes it visits, without the repetition of the
    /// best at the end; `None` when it gives up.
    fn original(n_layers: usize, satisfies: impl Fn(usize) -> bool) -> Vec<Option<usize>> {
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
    fn the_visits_are_the_originals() {
        for n_layers in 1..=60 {
            for needed in 1..=n_layers {
                let found = visits(&BinarySearch, n_layers, |n| n >= needed);
                assert_eq!(found, original(n_layers, |n| n >= needed), "{n_layers} layers, {needed} needed");
            }
        }
    }
}
