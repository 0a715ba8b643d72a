//! The trials so far as answers to questions, so that a strategy can be written as a procedure that asks.
//!
//! A strategy is a pure function that is called again for each trial. A strategy with phases and loops is simplest as a
//! procedure that asks "does this set satisfy?" and continues with the answer. [`next_untried`] runs such a procedure from
//! its beginning against the history; the first set that no trial has answered is the next trial.

use crate::outcome::Trial;
use crate::ranking::Ranking;
use intact8_quant::layer::LayerSet;
use std::collections::BTreeMap;

/// Entries of the ranking, in ascending order.
pub(super) type Entries = Vec<usize>;

/// A set of entries that no trial has answered yet.
pub(super) struct Untried(Entries);

/// The trials, by the entries that they roll back.
pub(super) struct Answers {
    n_entries: usize,
    known: BTreeMap<Entries, bool>,
}

/// The layers to roll back next, for a strategy written as a procedure; `None` if the procedure ends.
pub(super) fn next_untried(
    ranking: &Ranking,
    history: &[Trial],
    procedure: impl FnOnce(&Answers) -> Result<(), Untried>,
) -> Option<LayerSet> {
    let Err(Untried(entries)) = procedure(&Answers::of(ranking, history)) else { return None };
    Some(ranking.layers(entries))
}

impl Answers {
    fn of(ranking: &Ranking, history: &[Trial]) -> Answers {
        let answer = |trial: &Trial| (ranking.entries_of(&trial.rolled_back), trial.verdict.satisfied);
        let known = history.iter().map(answer).collect();
        Answers { n_entries: ranking.len(), known }
    }

    /// The number of entries in the ranking.
    pub(super) fn n_entries(&self) -> usize {
        self.n_entries
    }

    /// Whether the target is met with these entries, in ascending order, rolled back. With all entries it is met without a
    /// trial: that is the original model.
    pub(super) fn satisfies(&self, entries: &[usize]) -> Result<bool, Untried> {
        if entries.len() == self.n_entries {
            return Ok(true);
        }
        self.known.get(entries).copied().ok_or_else(|| Untried(entries.to_vec()))
    }

    /// Whether the target is met with a prefix of the ranking rolled back.
    pub(super) fn prefix_satisfies(&self, n: usize) -> Result<bool, Untried> {
        self.satisfies(&(0..n).collect::<Entries>())
    }
}
