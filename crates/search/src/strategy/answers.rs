//! The trials so far as answers to questions, so that a strategy can be written as a procedure that asks.
//!
//! A strategy is a pure function that is called again for each trial. A strategy with phases and loops is simplest as a
//! procedure that asks "does this set satisfy?" and continues with the answer. [`next_untried`] runs such a procedure from
//! its beginning against the history; the first set that no trial has answered is the next trial.

use crate::outcome::Trial;
use crate::ranking::Ranking;
use intact8_quant::layer::LayerSet;
use std::collections::BTreeMap;

/// Entries of the ranking.
pub(super) type Entries = Vec<usize>;

/// A set of entries that no trial has answered yet.
pub(super) struct Untried(Entries);

/// The trials, by the entries that they roll back.
pub(super) struct Answers<'a> {
    ranking: &'a Ranking,
    /// Whether the target is met with entries in ascending order rolled back.
    known: BTreeMap<Entries, bool>,
}

/// The layers to roll back next, for a strategy written as a procedure; `None` if the procedure ends.
pub(super) fn next_untried(
    ranking: &Ranking,
    history: &[Trial],
    procedure: impl FnOnce(&Answers<'_>) -> Result<(), Untried>,
) -> Option<LayerSet> {
    let Err(Untried(entries)) = procedure(&Answers::of(ranking, history)) else { return None };
    Some(ranking.layers(entries))
}

impl<'a> Answers<'a> {
    fn of(ranking: &'a Ranking, history: &[Trial]) -> Answers<'a> {
        let answer = |trial: &Trial| (ranking.entries_of(&trial.rolled_back), trial.verdict.satisfied);
        let known = history.iter().map(answer).collect();
        Answers { ranking, known }
    }

    /// The number of entries in the ranking.
    pub(super) fn n_entries(&self) -> usize {
        self.ranking.len()
    }

    /// All entries, the most sensitive first.
    pub(super) fn by_rank(&self) -> Entries {
        (0..self.n_entries()).collect()
    }

    /// Entries in the order of the accuracy that they gain for their time, the largest gain first; those of equal gains, or all if no
    /// times are known, stay in their order.
    pub(super) fn by_gain(&self, mut entries: Entries) -> Entries {
        let gain = |entry: usize| self.ranking.0[entry].gain;
        entries.sort_by(|&a, &b| gain(b).total_cmp(&gain(a)));
        entries
    }

    /// The time that is lost with these entries rolled back.
    pub(super) fn time_lost(&self, entries: &[usize]) -> f64 {
        entries.iter().map(|&entry| self.ranking.0[entry].time_lost).sum()
    }

    /// Whether the target is met with these entries rolled back. With all entries it is met without a trial: that is the
    /// original model.
    pub(super) fn satisfies(&self, entries: &[usize]) -> Result<bool, Untried> {
        if entries.len() == self.n_entries() {
            return Ok(true);
        }
        let mut ascending = entries.to_vec();
        ascending.sort_unstable();
        self.known.get(&ascending).copied().ok_or(Untried(ascending))
    }
}
