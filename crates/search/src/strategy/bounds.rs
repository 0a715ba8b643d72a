//! Bounds of the shortest prefix of the ranking that meets the target, as known from the trials so far.

use crate::outcome::Trial;
use crate::ranking::Ranking;

/// The lengths of prefixes that were tried.
pub(super) struct Bounds {
    /// The length of the longest prefix that misses the target; 0 if there is none.
    pub(super) longest_miss: usize,
    /// The length of the shortest prefix that meets it, or one more than the number of entries if there is none.
    pub(super) shortest_hit: usize,
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
            longest_miss: lengths(false).max().unwrap_or(0),
            shortest_hit: lengths(true).min().unwrap_or(ranking.len() + 1),
        }
    }

    /// Whether there is a prefix between the bounds.
    pub(super) fn has_untried(&self) -> bool {
        self.shortest_hit - self.longest_miss.min(self.shortest_hit) > 1
    }
}
