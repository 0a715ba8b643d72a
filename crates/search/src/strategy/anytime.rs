//! The search for the smallest set of layers, instead of any 1-minimal set; it uses all trials that it is allowed.

use super::PureStrategy;
use super::answers::{Answers, Entries, Untried, next_untried};
use super::minimal::{minimal, minimize};
use crate::outcome::Trial;
use crate::ranking::Ranking;
use intact8_quant::layer::LayerSet;
use std::collections::{BTreeSet, VecDeque};

/// [`Minimal`](super::Minimal), then further trials until trials or time run out: pairs are put back into int8, and then other
/// minimal sets are searched, each of which keeps in int8 an entry that a known minimal set rolls back.
///
/// If rolling back more layers never makes the result worse and no limit ends the search, the result has the fewest entries
/// possible in float.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anytime;

impl PureStrategy for Anytime {
    fn proposal(&self, ranking: &Ranking, history: &[Trial]) -> Option<LayerSet> {
        next_untried(ranking, history, anytime)
    }
}

fn anytime(answers: &Answers<'_>) -> Result<(), Untried> {
    let first = minimal(answers)?;
    if first.len() == answers.n_entries() {
        return Ok(());
    }
    let first = put_back_pairs(answers, first)?;
    let mut fewest = first.len();
    // A set that satisfies and is smaller than a known one lacks some entry of it, so it is below one of its branches.
    let mut branches: VecDeque<(BTreeSet<usize>, Entries)> = [(BTreeSet::new(), first)].into();
    let mut visited: BTreeSet<BTreeSet<usize>> = BTreeSet::new();
    while let Some((in_int8, found)) = branches.pop_front() {
        for entry in found {
            let mut in_int8 = in_int8.clone();
            in_int8.insert(entry);
            if !visited.insert(in_int8.clone()) {
                continue;
            }
            let others: Entries = (0..answers.n_entries()).filter(|entry| !in_int8.contains(entry)).collect();
            if !answers.satisfies(&others)? {
                continue;
            }
            let other = minimal_within(answers, others, fewest)?;
            fewest = fewest.min(other.len());
            branches.push_back((in_int8, other));
        }
    }
    Ok(())
}

/// A minimal set within entries that satisfy: within a prefix no longer than the best known set if that satisfies, else within
/// all of them.
fn minimal_within(answers: &Answers<'_>, entries: Entries, fewest: usize) -> Result<Entries, Untried> {
    let prefix = &entries[..fewest.min(entries.len())];
    let start = if answers.satisfies(prefix)? { prefix.to_vec() } else { entries };
    minimize(answers.n_entries(), answers.by_gain(start), |entries| answers.satisfies(entries))
}

/// Puts pairs of entries back into int8 as long as the target is met. If no single entry can be put back, only a target that is
/// not monotone allows it for a pair.
fn put_back_pairs(answers: &Answers<'_>, mut entries: Entries) -> Result<Entries, Untried> {
    'again: loop {
        for second in (1..entries.len()).rev() {
            for first in (0..second).rev() {
                let is_kept = |idx: &usize| *idx != first && *idx != second;
                let without: Entries = (0..entries.len()).filter(is_kept).map(|idx| entries[idx]).collect();
                if answers.satisfies(&without)? {
                    entries = minimize(answers.n_entries(), without, |entries| answers.satisfies(entries))?;
                    continue 'again;
                }
            }
        }
        return Ok(entries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::simulation::run_strategy;
    use proptest::prelude::*;

    #[test]
    fn a_smaller_set_than_that_of_minimal_is_found() {
        // The target is met with the first three rolled back, or with the last alone.
        let satisfies = |rolled_back: &[usize]| {
            [0, 1, 2].iter().all(|entry| rolled_back.contains(entry)) || rolled_back.contains(&9)
        };
        assert_eq!(run_strategy(&super::super::Minimal, 10, satisfies).best, Some(vec![0, 1, 2]));
        assert_eq!(run_strategy(&Anytime, 10, satisfies).best, Some(vec![9]));
    }

    #[test]
    fn a_pair_is_put_back_if_neither_entry_can_be_alone() {
        let satisfies = |rolled_back: &[usize]| [&[0, 1, 2, 3][..], &[1, 3]].contains(&rolled_back);
        assert_eq!(run_strategy(&Anytime, 8, satisfies).best, Some(vec![1, 3]));
    }

    proptest! {
        #[test]
        fn the_result_has_the_fewest_entries(sets in prop::collection::vec(prop::collection::btree_set(0usize..8, 1..4), 1..4)) {
            let satisfies = |rolled_back: &[usize]| {
                sets.iter().any(|set| set.iter().all(|entry| rolled_back.contains(entry)))
            };
            let best = run_strategy(&Anytime, 8, satisfies).best.map(|best| best.len());
            prop_assert_eq!(best, sets.iter().map(BTreeSet::len).min());
        }
    }
}
