//! The original tool's strategy.

use super::{Bounds, Strategy};
use crate::rank::Ranking;
use crate::search::Trial;

/// The shortest prefix of the ranking that satisfies, by halving: about log2 of the number of layers trials.
///
/// Visits the same configurations in the same order as AMCT's `BinarySearchStrategy`, but for that one's repetition of
/// the best at the end. Finds the shortest prefix if rolling back more never makes things worse.
#[derive(Debug, Clone, Copy, Default)]
pub struct BinarySearch;

impl Strategy for BinarySearch {
    fn next(&self, ranking: &Ranking, history: &[Trial]) -> Option<Vec<String>> {
        let bounds = Bounds::of(ranking, history);
        bounds.are_open().then(|| ranking.worst((bounds.fails + bounds.passes) / 2))
    }
}
