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

use crate::evaluator::Verdict;
use crate::outcome::{Rungs, Trial};
use crate::ranking::Ranking;
use intact8_ir::{Error, Result};

/// Names the layers to roll back next. Pure: all that a strategy knows is in its arguments.
pub trait Strategy {
    /// The layers to roll back in the next trial, or `None` to stop. The history has at least the trial with every
    /// layer quantized, and no set of layers may be named twice. Naming every layer of the ranking ends the search.
    fn next(&self, ranking: &Ranking, history: &[Trial]) -> Option<Vec<String>>;

    /// Whether the ranking is to be made anew after each trial. It then holds only what that trial left in int8, and
    /// compares what the network gives with and without each place.
    fn reranks(&self) -> bool {
        false
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
    pub strategy: &'static (dyn Strategy + Sync),
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
pub fn strategy_named(name: &str) -> Result<&'static dyn Strategy> {
    let found = STRATEGIES.iter().find(|row| name == row.name || name == row.original);
    let names = || STRATEGIES.iter().map(|row| format!("{:?}", row.name)).collect::<Vec<_>>().join(", ");
    let unknown = || Error::invalid_config(format!("there is no strategy {name:?}; use one of {}", names()));
    found.map(|row| row.strategy as &dyn Strategy).ok_or_else(unknown)
}

/// How much is looked at to count the trials to come: each asks the strategy, which reads the whole history.
const TRIALS_READ: usize = 10_000;

/// How many trials are to come if things go on as they look: if just the layers of the smallest trial that satisfied,
/// or all if none did, have to be rolled back. Where that is far away, fewer.
pub fn trials_ahead(strategy: &dyn Strategy, ranking: &Ranking, history: &[Trial]) -> usize {
    let satisfying = history.iter().filter(|trial| trial.verdict.satisfied);
    let everything = ranking.worst(ranking.len());
    let guilty = satisfying.map(|trial| &trial.rolled_back).min_by_key(|layers| layers.len());
    let guilty = guilty.unwrap_or(&everything);
    let mut imagined = history.to_vec();
    let mut n_read = 0;
    while let Some(rolled_back) = strategy.next(ranking, &imagined) {
        n_read += imagined.len();
        if n_read > TRIALS_READ || rolled_back.len() >= everything.len() {
            break;
        }
        let satisfied = guilty.iter().all(|layer| rolled_back.contains(layer));
        imagined.push(Trial { rolled_back, rungs: Rungs::new(), verdict: Verdict { satisfied, loss: 0.0 } });
    }
    imagined.len() - history.len()
}

#[cfg(test)]
mod tests {
    use super::simulation::{ranking, trial};
    use super::*;

    #[test]
    fn what_is_to_come_is_counted() {
        let ranking = ranking(8);
        // 1, 2, 4 fail for all that is known, then 6, 7.
        assert_eq!(trials_ahead(&Gallop, &ranking, &[trial(&[], false)]), 5);
        let history = [trial(&[], false), trial(&[0], false), trial(&[0, 1], true)];
        assert_eq!(trials_ahead(&Gallop, &ranking, &history), 0);
        assert_eq!(trials_ahead(&Minimal, &ranking, &history), 1);
    }

    #[test]
    fn strategies_go_by_two_names() {
        assert!(strategy_named("BinarySearch").is_ok() && strategy_named("minimal").is_ok());
        let message = strategy_named("guess").err().unwrap().to_string();
        assert!(message.starts_with("there is no strategy \"guess\"; use one of \"minimal\", "), "{message}");
    }
}
