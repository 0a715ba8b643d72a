//! What the trials so far answer, so that a strategy can be written as if it could ask.
//!
//! A strategy is a pure function that is called anew for each trial. One with phases and loops is simplest to read
//! as a procedure that asks "does this satisfy?" and goes on with the answer. [`replayed`] runs such a procedure from
//! its beginning against the history; where it asks what no trial has answered, that is the next trial.

use crate::outcome::Trial;
use crate::ranking::Ranking;
use std::collections::BTreeMap;

/// Places of the ranking, in ascending order.
pub(super) type Places = Vec<usize>;

/// A question that no trial has answered yet.
pub(super) struct Untried(Places);

/// The trials, by the places that they roll back.
pub(super) struct Answers {
    n_places: usize,
    known: BTreeMap<Places, bool>,
}

/// The layers to roll back next, for a strategy written as a procedure; `None` when it comes to its end.
pub(super) fn replayed(
    ranking: &Ranking,
    history: &[Trial],
    procedure: impl FnOnce(&Answers) -> Result<(), Untried>,
) -> Option<Vec<String>> {
    let Err(Untried(places)) = procedure(&Answers::of(ranking, history)) else { return None };
    Some(ranking.layers(places))
}

impl Answers {
    fn of(ranking: &Ranking, history: &[Trial]) -> Answers {
        let answer = |trial: &Trial| (ranking.places_of(&trial.rolled_back), trial.verdict.satisfied);
        let known = history.iter().map(answer).collect();
        Answers { n_places: ranking.len(), known }
    }

    /// How many places the ranking has.
    pub(super) fn n_places(&self) -> usize {
        self.n_places
    }

    /// Whether rolling back some places, given in ascending order, satisfies. Rolling back all of them does, untried:
    /// that is the original.
    pub(super) fn satisfies(&self, places: &[usize]) -> Result<bool, Untried> {
        if places.len() == self.n_places {
            return Ok(true);
        }
        self.known.get(places).copied().ok_or_else(|| Untried(places.to_vec()))
    }

    /// Whether a prefix of the ranking does.
    pub(super) fn prefix_satisfies(&self, n: usize) -> Result<bool, Untried> {
        self.satisfies(&(0..n).collect::<Places>())
    }
}
