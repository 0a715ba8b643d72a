//! Strategies: which layers to roll back next, as arithmetic on the trials so far.

mod binary_search;
mod worst_first;

pub use binary_search::BinarySearch;
pub use worst_first::WorstFirst;

use crate::rank::Ranking;
use crate::search::Trial;
use quantfit_ir::{Error, Result};

/// Names the layers to roll back next. Pure: all that a strategy knows is in its arguments.
pub trait Strategy {
    /// The layers to roll back in the next trial, or `None` to stop. The history has at least the trial with every
    /// layer quantized. Naming every layer of the ranking ends the search without a model.
    fn next(&self, ranking: &Ranking, history: &[Trial]) -> Option<Vec<String>>;
}

/// The strategies, by the name on the command line and the name that the original tool knows.
const STRATEGIES: &[(&str, &str, &dyn Strategy)] =
    &[("binary-search", "BinarySearch", &BinarySearch), ("worst-first", "WorstFirst", &WorstFirst)];

/// The strategy of that name.
pub fn strategy_named(name: &str) -> Result<&'static dyn Strategy> {
    let found = STRATEGIES.iter().find(|(command, original, _)| name == *command || name == *original);
    let names = || STRATEGIES.iter().map(|row| format!("{:?}", row.0)).collect::<Vec<_>>().join(", ");
    let unknown = || Error::invalid_config(format!("there is no strategy {name:?}; use one of {}", names()));
    found.map(|row| row.2).ok_or_else(unknown)
}

/// What is known of the lengths of rolled-back prefixes of the ranking.
struct Bounds {
    /// The longest prefix that was not enough.
    fails: usize,
    /// The shortest that was, or one more than there are layers.
    passes: usize,
}

impl Bounds {
    fn of(ranking: &Ranking, history: &[Trial]) -> Bounds {
        let lengths = |satisfied: bool| {
            let trials = history.iter().filter(move |trial| trial.verdict.satisfied == satisfied);
            trials.map(|trial| trial.rolled_back.len())
        };
        Bounds {
            fails: lengths(false).max().unwrap_or(0),
            passes: lengths(true).min().unwrap_or(ranking.len() + 1),
        }
    }

    /// Whether a prefix remains to be tried.
    fn are_open(&self) -> bool {
        self.passes - self.fails.min(self.passes) > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluator::Verdict;
    use crate::rank::Ranked;

    /// How many layers each trial rolls back, after the one that rolls back none and fails; `None` at the end if the
    /// strategy wants all of them. `satisfies` says whether so many are enough.
    fn visits(
        strategy: &dyn Strategy,
        n_layers: usize,
        satisfies: impl Fn(usize) -> bool,
    ) -> Vec<Option<usize>> {
        let layer = |idx: usize| Ranked { layer: format!("layer{idx}"), similarity: idx as f64 };
        let ranking = Ranking((0..n_layers).map(layer).collect());
        let trial = |rolled_back: Vec<String>, satisfied| Trial {
            rolled_back,
            verdict: Verdict { satisfied, loss: 0.0 },
        };
        let mut history = vec![trial(vec![], false)];
        let mut visits = vec![];
        while let Some(next) = strategy.next(&ranking, &history) {
            if next.len() == n_layers {
                visits.push(None);
                break;
            }
            visits.push(Some(next.len()));
            let satisfied = satisfies(next.len());
            history.push(trial(next, satisfied));
        }
        visits
    }

    fn check(n_layers: usize, needed: usize, strategy: &dyn Strategy, expected: &[usize]) {
        let expected: Vec<Option<usize>> = expected.iter().map(|&n| (n < n_layers).then_some(n)).collect();
        assert_eq!(
            visits(strategy, n_layers, |n| n >= needed),
            expected,
            "{n_layers} layers, {needed} needed"
        );
    }

    #[test]
    fn the_published_traces() {
        check(8, 4, &BinarySearch, &[4, 2, 3]);
        check(8, 8, &BinarySearch, &[4, 6, 7, 8]);
        check(52, 1, &BinarySearch, &[26, 13, 6, 3, 1]);
        check(52, 26, &BinarySearch, &[26, 13, 19, 22, 24, 25]);
        check(100, 3, &BinarySearch, &[50, 25, 12, 6, 3, 1, 2]);
        check(1, 1, &BinarySearch, &[1]);
    }

    #[test]
    fn a_target_that_is_not_monotone() {
        // 4 fails, 6 satisfies, 5 fails: the end, without the repetition of 6, and 2 is never tried.
        assert_eq!(visits(&BinarySearch, 8, |n| [2, 6].contains(&n)), [Some(4), Some(6), Some(5)]);
    }

    #[test]
    fn worst_first_takes_one_more_each_time() {
        check(5, 3, &WorstFirst, &[1, 2, 3]);
        check(3, 3, &WorstFirst, &[1, 2, 3]);
    }

    /// The original's state machine, as its source describes it: the prefixes it visits, without the repetition of the
    /// best at the end; `None` when it gives up.
    fn original(n_layers: usize, satisfies: impl Fn(usize) -> bool) -> Vec<Option<usize>> {
        let (mut left, mut right) = (0i64, n_layers as i64 - 1);
        let mut mid = (left + right) / 2;
        let mut visits = vec![];
        loop {
            let prefix = mid as usize + 1;
            if prefix == n_layers {
                visits.push(None);
                return visits;
            }
            visits.push(Some(prefix));
            if satisfies(prefix) {
                right = mid - 1
            } else {
                left = mid + 1
            }
            mid = (left + right).div_euclid(2);
            if left > right {
                return visits;
            }
        }
    }

    #[test]
    fn the_visits_are_the_originals() {
        for n_layers in 1..=60 {
            for needed in 1..=n_layers {
                let found = visits(&BinarySearch, n_layers, |n| n >= needed);
                assert_eq!(found, original(n_layers, |n| n >= needed), "{n_layers} layers, {needed} needed");
            }
        }
    }
}
