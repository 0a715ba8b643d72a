//! The literal reading of the requirement's step 4e.

use super::{Bounds, Strategy};
use crate::rank::Ranking;
use crate::search::Trial;

/// One more layer each time, the worst of those that are left.
#[derive(Debug, Clone, Copy, Default)]
pub struct WorstFirst;

impl Strategy for WorstFirst {
    fn next(&self, ranking: &Ranking, history: &[Trial]) -> Option<Vec<String>> {
        let bounds = Bounds::of(ranking, history);
        bounds.are_open().then(|| ranking.worst(bounds.fails + 1))
    }
}
