//! Strategies: which layers to roll back next, as arithmetic on the trials so far.

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
pub(crate) use minimal::shrunk;
pub use worst_first::WorstFirst;

use crate::outcome::{Rungs, Trial};
use crate::ranking::Ranking;
use crate::roles::Verdict;
use intact8_calibrate::BoxError;
use intact8_ir::{Error, Result};
use intact8_quant::layer::LayerSet;

/// Names the layers to roll back next. It may keep state: a search asks it once for each trial, and only with trials that
/// were made.
pub trait Strategy {
    /// The layers to roll back in the next trial, or `None` to stop. The history has at least the trial with every
    /// layer quantized; after that, its last trial is the answer to the last proposal. A proposal that was tried before is
    /// answered by the same verdict without a new trial. Naming every layer of the ranking ends the search.
    ///
    /// # Errors
    /// Any failure of the strategy; the search ends with it.
    fn next(&mut self, ranking: &Ranking, history: &[Trial]) -> Result<Option<LayerSet>, BoxError>;

    /// Whether the ranking is to be made anew after each trial. It then holds only what that trial left in int8, and
    /// compares the network's outputs with and without each entry.
    fn reranks(&self) -> bool {
        false
    }

    /// The strategy as a pure function, if it is one: the search then asks it about histories that might follow, to
    /// estimate how many trials are left.
    fn as_pure(&self) -> Option<&dyn PureStrategy> {
        None
    }
}

/// A strategy that is a pure function: all that it knows is in its arguments.
pub trait PureStrategy {
    /// As [`Strategy::next`]. No set of layers may be named twice.
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
    /// On the command line.
    pub name: &'static str,
    /// In the original tool, or as it would be there.
    pub original: &'static str,
    /// What it does.
    pub about: &'static str,
    /// The strategy.
    pub strategy: &'static (dyn PureStrategy + Sync),
}

/// The strategies.
pub static STRATEGIES: &[StrategyRow] = &[
    StrategyRow {
        name: "minimal",
        original: "Minimal",
        about: "a short prefix of the ranking, then every layer back into int8 that can be",
        strategy: &Minimal,
    },
    StrategyRow {
        name: "anytime",
        original: "Anytime",
        about: "minimal, then on as long as it may, to keep even more in int8",
        strategy: &Anytime,
    },
    StrategyRow {
        name: "binary-search",
        original: "BinarySearch",
        about: "the shortest prefix of the ranking, by halving",
        strategy: &BinarySearch,
    },
    StrategyRow {
        name: "gallop",
        original: "Gallop",
        about: "the shortest prefix of the ranking, by doubling, then halving",
        strategy: &Gallop,
    },
    StrategyRow {
        name: "worst-first",
        original: "WorstFirst",
        about: "one more layer of the ranking each time",
        strategy: &WorstFirst,
    },
    StrategyRow {
        name: "greedy",
        original: "Greedy",
        about: "one more layer each time, and a new ranking after each",
        strategy: &Greedy,
    },
];

/// The strategy of that name.
pub fn strategy_named(name: &str) -> Result<&'static dyn PureStrategy> {
    let found = STRATEGIES.iter().find(|row| name == row.name || name == row.original);
    let names = || STRATEGIES.iter().map(|row| format!("{:?}", row.name)).collect::<Vec<_>>().join(", ");
    let unknown = || Error::invalid_config(format!("there is no strategy {name:?}; use one of {}", names()));
    found.map(|row| row.strategy as &dyn PureStrategy).ok_or_else(unknown)
}

/// How many trials are read at most to count the trials to come: each step asks the strategy, which reads the whole history.
const TRIALS_READ: usize = 10_000;

/// How many trials are to come if the layers of the smallest trial that satisfied, or all if none did, are just those that
/// have to be rolled back. Where that is far away, fewer; `None` if the strategy is not a pure function.
pub fn trials_ahead(strategy: &dyn Strategy, ranking: &Ranking, history: &[Trial]) -> Option<usize> {
    let strategy = strategy.as_pure()?;
    let satisfying = history.iter().filter(|trial| trial.verdict.satisfied);
    let everything = ranking.worst(ranking.len());
    let sensitive = satisfying.map(|trial| &trial.rolled_back).min_by_key(|layers| layers.len());
    let sensitive = sensitive.unwrap_or(&everything);
    let mut imagined = history.to_vec();
    let mut n_read = 0;
    while let Some(rolled_back) = strategy.proposal(ranking, &imagined) {
        n_read += imagined.len();
        if n_read > TRIALS_READ || rolled_back.len() >= everything.len() {
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
    fn trials_to_come_are_counted() {
        let ranking = ranking(8);
        // 1, 2, 4 fail for all that is known, then 6, 7.
        assert_eq!(trials_ahead(&Gallop, &ranking, &[trial(&[], false)]), Some(5));
        let history = [trial(&[], false), trial(&[0], false), trial(&[0, 1], true)];
        assert_eq!(trials_ahead(&Gallop, &ranking, &history), Some(0));
        assert_eq!(trials_ahead(&Minimal, &ranking, &history), Some(1));
    }

    #[test]
    fn strategies_go_by_two_names() {
        assert!(strategy_named("BinarySearch").is_ok() && strategy_named("minimal").is_ok());
        let message = strategy_named("guess").err().unwrap().to_string();
        assert!(message.starts_with("there is no strategy \"guess\"; use one of \"minimal\", "), "{message}");
    }
}
