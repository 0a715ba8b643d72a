//! Strategies: they choose the layers to roll back in the next trial from the ranking and the trials so far.
//!
//! A strategy quantizes and scores nothing itself; the [search](crate::search()) does.

mod answers;
mod anytime;
mod binary_search;
mod bounds;
mod gallop;
mod greedy;
mod minimal;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod table;
mod worst_first;

pub use anytime::Anytime;
pub use binary_search::BinarySearch;
pub use gallop::Gallop;
pub use greedy::Greedy;
pub use minimal::Minimal;
pub(crate) use minimal::minimize;
pub use worst_first::WorstFirst;

use crate::outcome::{Rungs, Trial};
use crate::ranking::Ranking;
use crate::roles::Verdict;
use intact8_calibrate::BoxError;
use intact8_ir::{Error, Result, did_you_mean};
use intact8_quant::layer::LayerSet;

/// Chooses the layers to roll back next. It may keep state: a search asks it once for each trial, and only with trials that
/// were made.
pub trait Strategy {
    /// The layers to roll back in the next trial, or `None` to stop. The history has at least the trial with every layer
    /// quantized; later its last trial is the answer to the last proposal. A proposal that was tried before is answered by the
    /// same verdict without a new trial. A proposal of every layer of the ranking ends the search.
    ///
    /// # Errors
    /// Any failure of the strategy; the search ends with it.
    fn next(&mut self, ranking: &Ranking, history: &[Trial]) -> Result<Option<LayerSet>, BoxError>;

    /// Whether the layers are ranked again after each trial. The ranking then holds only the entries in int8 in that trial, and
    /// compares the network's outputs with each entry in int8 and in float. By default false.
    fn reranks(&self) -> bool {
        false
    }

    /// The strategy as a pure function, if it is one: the search then asks it about possible histories, to estimate the number
    /// of trials left. By default `None`.
    fn as_pure(&self) -> Option<&dyn PureStrategy> {
        None
    }
}

/// A strategy that is a pure function of its arguments. Each one is a [`Strategy`].
pub trait PureStrategy {
    /// As [`Strategy::next`]; it must not propose the same layers twice.
    fn proposal(&self, ranking: &Ranking, history: &[Trial]) -> Option<LayerSet>;

    /// As [`Strategy::reranks`].
    fn reranks(&self) -> bool {
        false
    }
}

impl<P: PureStrategy> Strategy for P {
    fn next(&mut self, ranking: &Ranking, history: &[Trial]) -> Result<Option<LayerSet>, BoxError> {
        Ok(self.proposal(ranking, history))
    }

    fn reranks(&self) -> bool {
        PureStrategy::reranks(self)
    }

    fn as_pure(&self) -> Option<&dyn PureStrategy> {
        Some(self)
    }
}

impl<P: PureStrategy + ?Sized> PureStrategy for &P {
    fn proposal(&self, ranking: &Ranking, history: &[Trial]) -> Option<LayerSet> {
        (**self).proposal(ranking, history)
    }

    fn reranks(&self) -> bool {
        (**self).reranks()
    }
}

/// A strategy and its names.
pub struct StrategyRow {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its name in AMCT's style, also accepted.
    pub amct_name: &'static str,
    /// A short description.
    pub about: &'static str,
    /// The strategy.
    pub strategy: &'static (dyn PureStrategy + Sync),
}

/// The strategies.
pub static STRATEGIES: &[StrategyRow] = &[
    StrategyRow {
        name: "minimal",
        amct_name: "Minimal",
        about: "a short prefix of the ranking, of which layers are put back into int8 one by one",
        strategy: &Minimal,
    },
    StrategyRow {
        name: "anytime",
        amct_name: "Anytime",
        about: "minimal, then further trials with even more layers in int8, until a limit ends the search",
        strategy: &Anytime,
    },
    StrategyRow {
        name: "binary-search",
        amct_name: "BinarySearch",
        about: "the shortest prefix of the ranking, by binary search",
        strategy: &BinarySearch,
    },
    StrategyRow {
        name: "gallop",
        amct_name: "Gallop",
        about: "the shortest prefix of the ranking, by doubling its length, then binary search",
        strategy: &Gallop,
    },
    StrategyRow {
        name: "worst-first",
        amct_name: "WorstFirst",
        about: "one more layer of the ranking in each trial",
        strategy: &WorstFirst,
    },
    StrategyRow {
        name: "greedy",
        amct_name: "Greedy",
        about: "one more layer in each trial, with a new ranking after each",
        strategy: &Greedy,
    },
];

/// The strategy with this name.
///
/// # Errors
/// If there is none; the message lists the names.
pub fn strategy_named(name: &str) -> Result<&'static dyn PureStrategy> {
    let found = STRATEGIES.iter().find(|row| name == row.name || name == row.amct_name);
    let names = || STRATEGIES.iter().map(|row| format!("{:?}", row.name)).collect::<Vec<_>>().join(", ");
    let unknown = || {
        let meant = did_you_mean(name, STRATEGIES.iter().map(|row| row.name));
        Error::invalid_config(format!("there is no strategy {name:?}{meant}; use one of {}", names()))
    };
    found.map(|row| row.strategy as &dyn PureStrategy).ok_or_else(unknown)
}

/// A limit of the work of [`trials_ahead`], in trials: each step asks the strategy, which looks at the whole history.
const MAX_TRIALS_VISITED: usize = 10_000;

/// An estimate of the number of trials left: those that follow if exactly the layers of the smallest trial that meets the
/// target, or all layers if none does, have to be rolled back. If those are very many, fewer are counted. `None` if
/// the strategy is not a pure function.
pub fn trials_ahead(strategy: &dyn Strategy, ranking: &Ranking, history: &[Trial]) -> Option<usize> {
    let strategy = strategy.as_pure()?;
    let satisfying = history.iter().filter(|trial| trial.verdict.satisfied);
    let all_layers = ranking.worst(ranking.len());
    let sensitive = satisfying.map(|trial| &trial.rolled_back).min_by_key(|layers| layers.len());
    let sensitive = sensitive.unwrap_or(&all_layers);
    let mut imagined = history.to_vec();
    let mut n_visited = 0;
    while let Some(rolled_back) = strategy.proposal(ranking, &imagined) {
        n_visited += imagined.len();
        if n_visited > MAX_TRIALS_VISITED || rolled_back.len() >= all_layers.len() {
            break;
        }
        let satisfied = sensitive.is_subset(&rolled_back);
        imagined.push(Trial { rolled_back, rungs: Rungs::new(), verdict: Verdict { satisfied, loss: 0.0 } });
    }
    Some(imagined.len() - history.len())
}

#[cfg(test)]
mod tests {
    use super::simulation::{ranking, trial};
    use super::*;

    #[test]
    fn the_trials_ahead_are_counted() {
        let ranking = ranking(8);
        // Nothing is known to satisfy, so prefixes of 1, 2, 4, 6 and 7 are expected to miss.
        assert_eq!(trials_ahead(&Gallop, &ranking, &[trial(&[], false)]), Some(5));
        let history = [trial(&[], false), trial(&[0], false), trial(&[0, 1], true)];
        assert_eq!(trials_ahead(&Gallop, &ranking, &history), Some(0));
        assert_eq!(trials_ahead(&Minimal, &ranking, &history), Some(1));
    }

    #[test]
    fn a_strategy_has_two_names_and_an_unknown_one_is_an_error() {
        assert!(strategy_named("BinarySearch").is_ok() && strategy_named("minimal").is_ok());
        let message = strategy_named("guess").err().unwrap().to_string();
        assert!(message.starts_with("there is no strategy \"guess\"; use one of \"minimal\", "), "{message}");
    }
}
