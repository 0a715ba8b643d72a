//! What the trials so far answer, so that a strategy can be written as if it could ask.
//!
//! A strategy is a pure function that is called anew for each trial. One with phases and loops is simplest to read
//! as a procedure that asks "does this satisfy?" and goes on with the answer. [`replayed`] runs such a procedure from
//! its beginning against the history; where it asks what no trial has answered, that is the next trial.

use crate::outcome::Trial;
use crate::ranking::Ranking;
use intact8_quant::layer::LayerSet;
use std::collections::BTreeMap;

/// Entries of the ranking, in ascending order.
pub(super) type Entries = Vec<usize>;

/// A question that no trial has answered yet.
pub(super) struct Untried(Entries);

/// The trials, by the entries that they roll back.
pub(super) struct Answers {
    n_entries: usize,
    known: BTreeMap<Entries, bool>,
}

/// The layers to roll back next, for a strategy written as a procedure; `None` when it comes to its end.
pub(super) fn replayed(
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

    /// How many entries the ranking has.
    pub(super) fn n_entries(&self) -> usize {
        self.n_entries
    }

    /// Whether rolling back some entries, given in ascending order, satisfies. Rolling back all of them does, untried:
    /// that is the original.
    pub(super) fn satisfies(&self, entries: &[usize]) -> Result<bool, Untried> {
        if entries.len() == self.n_entries {
            return Ok(true);
        }
        self.known.get(entries).copied().ok_or_else(|| Untried(entries.to_vec()))
    }

    /// Whether a prefix of the ranking does.
    pub(super) fn prefix_satisfies(&self, n: usize) -> Result<bool, Untried> {
        self.satisfies(&(0..n).collect::<Entries>())
    }
}
