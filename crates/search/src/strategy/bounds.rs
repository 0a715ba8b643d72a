//! What is known of the lengths of rolled-back prefixes of the ranking.

use crate::outcome::Trial;
use crate::ranking::Ranking;

/// Which prefixes were enough and which were not.
pub(super) struct Bounds {
    /// The longest prefix that was not enough.
    pub(super) fails: usize,
    /// The shortest that was, or one more than there are entries.
    pub(super) passes: usize,
}

impl Bounds {
    pub(super) fn of(ranking: &Ranking, history: &[Trial]) -> Bounds {
        let length = |trial: &Trial| {
            let entries = ranking.entries_of(&trial.rolled_back);
            entries.iter().enumerate().take_while(|(idx, entry)| idx == *entry).count()
        };
        let lengths = |satisfied: bool| {
            history.iter().filter(move |trial| trial.verdict.satisfied == satisfied).map(length)
        };
        Bounds {
            fails: lengths(false).max().unwrap_or(0),
            passes: lengths(true).min().unwrap_or(ranking.len() + 1),
        }
    }

    /// Whether a prefix remains to be tried.
    pub(super) fn are_open(&self) -> bool {
        self.passes - self.fails.min(self.passes) > 1
    }
}
