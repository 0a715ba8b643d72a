//! For tests: strategies run on synthetic targets, without models.

use super::PureStrategy;
use crate::outcome::{Rungs, Trial};
use crate::ranking::{Ranked, Ranking};
use crate::roles::Verdict;
use intact8_quant::layer::{LayerId, LayerSet};
use proptest::prelude::{Just, prop};
use proptest::strategy::Strategy as _;
use std::collections::BTreeSet;

/// Layers 0, 1, …, the most sensitive first.
pub(super) fn ranking(n_layers: usize) -> Ranking {
    let ranked = |idx: usize| Ranked {
        layers: vec![LayerId(idx as u32)],
        similarity: idx as f64,
        worst_channel: 0.0,
        cost: 0,
        time_lost: 0.0,
        gain: 0.0,
    };
    Ranking((0..n_layers).map(ranked).collect())
}

/// A trial that rolls back some of those layers.
pub(super) fn trial(entries: &[usize], satisfied: bool) -> Trial {
    let rolled_back: LayerSet = entries.iter().map(|&entry| LayerId(entry as u32)).collect();
    Trial { rolled_back, rungs: Rungs::new(), verdict: Verdict { satisfied, loss: 0.0 } }
}

/// The result of a simulated search.
#[derive(Debug, PartialEq)]
pub(super) struct SearchResult {
    /// The entries of the trial that meets the target with the fewest layers rolled back.
    pub(super) best: Option<Vec<usize>>,
    /// The number of trials without the first one, which rolls back no layer and misses the target.
    pub(super) n_trials: usize,
}

/// Runs a strategy until it stops or proposes all layers. `satisfies` judges sets of entries in ascending order, which are
/// neither empty nor complete.
pub(super) fn run_strategy(
    strategy: &dyn PureStrategy,
    n_layers: usize,
    satisfies: impl Fn(&[usize]) -> bool,
) -> SearchResult {
    run_strategy_up_to(usize::MAX, strategy, n_layers, satisfies)
}

/// The same with a limit of trials.
pub(super) fn run_strategy_up_to(
    max_trials: usize,
    strategy: &dyn PureStrategy,
    n_layers: usize,
    satisfies: impl Fn(&[usize]) -> bool,
) -> SearchResult {
    let ranking = ranking(n_layers);
    let mut history = vec![trial(&[], false)];
    let mut tried = BTreeSet::new();
    let mut best: Option<Vec<usize>> = None;
    while history.len() <= max_trials
        && let Some(next) = strategy.proposal(&ranking, &history)
    {
        let entries = ranking.entries_of(&next);
        assert!(!entries.is_empty(), "the first trial has been made");
        if entries.len() == n_layers {
            break;
        }
        assert!(tried.insert(entries.clone()), "{entries:?} is tried twice");
        let satisfied = satisfies(&entries);
        history.push(trial(&entries, satisfied));
        if satisfied && best.as_ref().is_none_or(|best| entries.len() < best.len()) {
            best = Some(entries);
        }
    }
    SearchResult { best, n_trials: history.len() - 1 }
}

/// Whether no single entry can be put back.
pub(super) fn is_one_minimal(best: &[usize], satisfies: impl Fn(&[usize]) -> bool) -> bool {
    (0..best.len()).all(|idx| {
        let without = [&best[..idx], &best[idx + 1..]].concat();
        without.is_empty() || !satisfies(&without)
    })
}

/// Up to 100 entries, and one to three sensitive ones among them.
pub(super) fn sensitive_entries() -> impl proptest::strategy::Strategy<Value = (usize, Vec<usize>)> {
    (1usize..100).prop_flat_map(|n_entries| {
        let sensitive = prop::collection::btree_set(0..n_entries, 1..=3.min(n_entries));
        (Just(n_entries), sensitive.prop_map(|sensitive| sensitive.into_iter().collect()))
    })
}

/// The number of layers that each trial rolls back, after the first one, which rolls back none and misses the target; `None` at
/// the end if the strategy proposes all of them. `satisfies` judges a number of layers.
pub(super) fn prefix_lengths(
    strategy: &dyn PureStrategy,
    n_layers: usize,
    satisfies: impl Fn(usize) -> bool,
) -> Vec<Option<usize>> {
    let ranking = ranking(n_layers);
    let mut history = vec![trial(&[], false)];
    let mut lengths = vec![];
    while let Some(rolled_back) = strategy.proposal(&ranking, &history) {
        if rolled_back.len() == n_layers {
            lengths.push(None);
            break;
        }
        lengths.push(Some(rolled_back.len()));
        let satisfied = satisfies(rolled_back.len());
        history.push(Trial { rolled_back, rungs: Rungs::new(), verdict: Verdict { satisfied, loss: 0.0 } });
    }
    lengths
}

/// Checks the lengths of the prefixes that a strategy tries if the first `needed` layers must be rolled back.
pub(super) fn check_prefixes(
    n_layers: usize,
    needed: usize,
    strategy: &dyn PureStrategy,
    expected: &[usize],
) {
    let expected: Vec<Option<usize>> = expected.iter().map(|&n| (n < n_layers).then_some(n)).collect();
    assert_eq!(
        prefix_lengths(strategy, n_layers, |n| n >= needed),
        expected,
        "{n_layers} layers, {needed} needed"
    );
}
