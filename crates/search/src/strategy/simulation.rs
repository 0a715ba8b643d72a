//! For tests: strategies set on made-up targets.

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
    };
    Ranking((0..n_layers).map(ranked).collect())
}

/// A trial that rolls back some of those layers.
pub(super) fn trial(entries: &[usize], satisfied: bool) -> Trial {
    let rolled_back: LayerSet = entries.iter().map(|&entry| LayerId(entry as u32)).collect();
    Trial { rolled_back, rungs: Rungs::new(), verdict: Verdict { satisfied, loss: 0.0 } }
}

pub(super) fn entries(entries: &[usize]) -> Vec<usize> {
    entries.to_vec()
}

/// How a search ended.
#[derive(Debug, PartialEq)]
pub(super) struct Searched {
    /// The satisfying trial with the fewest layers rolled back.
    pub(super) best: Option<Vec<usize>>,
    /// Without the one that rolls back none and fails.
    pub(super) n_trials: usize,
}

/// Lets a strategy search until it stops or wants all layers. `satisfies` judges sets of entries, in ascending order, neither none nor all.
pub(super) fn searched(
    strategy: &dyn PureStrategy,
    n_layers: usize,
    satisfies: impl Fn(&[usize]) -> bool,
) -> Searched {
    searched_up_to(usize::MAX, strategy, n_layers, satisfies)
}

/// The same, with so many trials at most.
pub(super) fn searched_up_to(
    most_trials: usize,
    strategy: &dyn PureStrategy,
    n_layers: usize,
    satisfies: impl Fn(&[usize]) -> bool,
) -> Searched {
    let ranking = ranking(n_layers);
    let mut history = vec![trial(&[], false)];
    let mut tried = BTreeSet::new();
    let mut best: Option<Vec<usize>> = None;
    while history.len() <= most_trials
        && let Some(next) = strategy.proposal(&ranking, &history)
    {
        let entries = ranking.entries_of(&next);
        assert!(!entries.is_empty(), "the first trial is there already");
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
    Searched { best, n_trials: history.len() - 1 }
}

/// Whether no single entry can be put back.
pub(super) fn is_one_minimal(best: &[usize], satisfies: impl Fn(&[usize]) -> bool) -> bool {
    (0..best.len()).all(|idx| {
        let without = [&best[..idx], &best[idx + 1..]].concat();
        without.is_empty() || !satisfies(&without)
    })
}

/// Up to 100 entries, and one to three guilty ones among them.
pub(super) fn sensitive_entries() -> impl proptest::strategy::Strategy<Value = (usize, Vec<usize>)> {
    (1usize..100).prop_flat_map(|n_entries| {
        let guilty = prop::collection::btree_set(0..n_entries, 1..=3.min(n_entries));
        (Just(n_entries), guilty.prop_map(|guilty| guilty.into_iter().collect()))
    })
}

/// How many layers each trial rolls back, after the one that rolls back none and fails; `None` at the end if the
/// strategy wants all of them. `satisfies` says whether so many are enough.
pub(super) fn visits(
    strategy: &dyn PureStrategy,
    n_layers: usize,
    satisfies: impl Fn(usize) -> bool,
) -> Vec<Option<usize>> {
    let ranking = ranking(n_layers);
    let mut history = vec![trial(&[], false)];
    let mut visits = vec![];
    while let Some(rolled_back) = strategy.proposal(&ranking, &history) {
        if rolled_back.len() == n_layers {
            visits.push(None);
            break;
        }
        visits.push(Some(rolled_back.len()));
        let satisfied = satisfies(rolled_back.len());
        history.push(Trial { rolled_back, rungs: Rungs::new(), verdict: Verdict { satisfied, loss: 0.0 } });
    }
    visits
}

/// Checks the lengths of the prefixes that a strategy tries if so many layers are needed.
pub(super) fn check_prefixes(
    n_layers: usize,
    needed: usize,
    strategy: &dyn PureStrategy,
    expected: &[usize],
) {
    let expected: Vec<Option<usize>> = expected.iter().map(|&n| (n < n_layers).then_some(n)).collect();
    assert_eq!(visits(strategy, n_layers, |n| n >= needed), expected, "{n_layers} layers, {needed} needed");
}
