//! For whoever has time: the smallest set of layers, not only one from which nothing can be taken away.

use super::PureStrategy;
use super::answers::{Answers, Entries, Untried, replayed};
use super::minimal::{minimal, shrunk};
use crate::outcome::Trial;
use crate::ranking::Ranking;
use intact8_quant::layer::LayerSet;
use std::collections::{BTreeSet, VecDeque};

/// [`Minimal`](super::Minimal), then on until trials or time run out: pairs are put back into int8, and then other
/// minimal sets are looked for, in each of which some entry of a known one stays in int8.
///
/// If rolling back more never makes things worse and nothing stops it, it ends with the fewest entries that will do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anytime;

impl PureStrategy for Anytime {
    fn proposal(&self, ranking: &Ranking, history: &[Trial]) -> Option<LayerSet> {
        replayed(ranking, history, anytime)
    }
}

fn anytime(answers: &Answers) -> Result<(), Untried> {
    let first = minimal(answers)?;
    if first.len() == answers.n_entries() {
        return Ok(());
    }
    let first = without_pairs(answers, first)?;
    let mut fewest = first.len();
    // Whatever set satisfies has no entry of some known one, so it is found below one of that set's branches.
    let mut branches: VecDeque<(BTreeSet<usize>, Entries)> = [(BTreeSet::new(), first)].into();
    let mut seen: BTreeSet<BTreeSet<usize>> = BTreeSet::new();
    while let Some((in_int8, found)) = branches.pop_front() {
        for entry in found {
            let mut in_int8 = in_int8.clone();
            in_int8.insert(entry);
            if !seen.insert(in_int8.clone()) {
                continue;
            }
            let others: Entries = (0..answers.n_entries()).filter(|entry| !in_int8.contains(entry)).collect();
            if !answers.satisfies(&others)? {
                continue;
            }
            let other = reached(answers, others, fewest)?;
            fewest = fewest.min(other.len());
            branches.push_back((in_int8, other));
        }
    }
    Ok(())
}

/// A minimal set within entries that satisfy: from a prefix no longer than the best set known, if one does, else from all.
fn reached(answers: &Answers, entries: Entries, fewest: usize) -> Result<Entries, Untried> {
    let prefix = &entries[..fewest.min(entries.len())];
    let start = if answers.satisfies(prefix)? { prefix.to_vec() } else { entries };
    shrunk(answers.n_entries(), start, |entries| answers.satisfies(entries))
}

/// Puts pairs back as long as that satisfies; only a target that is not monotone allows it where no single entry can go.
fn without_pairs(answers: &Answers, mut entries: Entries) -> Result<Entries, Untried> {
    'again: loop {
        for second in (1..entries.len()).rev() {
            for first in (0..second).rev() {
                let is_kept = |idx: &usize| *idx != first && *idx != second;
                let without: Entries = (0..entries.len()).filter(is_kept).map(|idx| entries[idx]).collect();
                if answers.satisfies(&without)? {
                    entries = shrunk(answers.n_entries(), without, |entries| answers.satisfies(entries))?;
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
    use crate::strategy::simulation::searched;
    use proptest::prelude::*;

    #[test]
    fn a_smaller_set_elsewhere_is_found() {
        // Either the three worst, or the last alone.
        let satisfies = |rolled_back: &[usize]| {
            [0, 1, 2].iter().all(|entry| rolled_back.contains(entry)) || rolled_back.contains(&9)
        };
        assert_eq!(searched(&super::super::Minimal, 10, satisfies).best, Some(vec![0, 1, 2]));
        assert_eq!(searched(&Anytime, 10, satisfies).best, Some(vec![9]));
    }

    #[test]
    fn a_pair_can_go_where_neither_of_it_can() {
        let satisfies = |rolled_back: &[usize]| [&[0, 1, 2, 3][..], &[1, 3]].contains(&rolled_back);
        assert_eq!(searched(&Anytime, 8, satisfies).best, Some(vec![1, 3]));
    }

    proptest! {
        #[test]
        fn the_fewest_are_found(sets in prop::collection::vec(prop::collection::btree_set(0usize..8, 1..4), 1..4)) {
            let satisfies = |rolled_back: &[usize]| {
                sets.iter().any(|set| set.iter().all(|entry| rolled_back.contains(entry)))
            };
            let best = searched(&Anytime, 8, satisfies).best.map(|best| best.len());
            prop_assert_eq!(best, sets.iter().map(BTreeSet::len).min());
        }
    }
}
