//! For whoever has time: the smallest set of layers, not only one from which nothing can be taken away.

use super::Strategy;
use super::answers::{Answers, Places, Untried, replayed};
use super::minimal::{minimal, shrunk};
use crate::outcome::Trial;
use crate::ranking::Ranking;
use std::collections::{BTreeSet, VecDeque};

/// [`Minimal`](super::Minimal), then on until trials or time run out: pairs are put back into int8, and then other
/// minimal sets are looked for, in each of which some place of a known one stays in int8.
///
/// If rolling back more never makes things worse and nothing stops it, it ends with the fewest places that will do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anytime;

impl Strategy for Anytime {
    fn next(&self, ranking: &Ranking, history: &[Trial]) -> Option<Vec<String>> {
        replayed(ranking, history, anytime)
    }
}

fn anytime(answers: &Answers) -> Result<(), Untried> {
    let first = minimal(answers)?;
    if first.len() == answers.n_places() {
        return Ok(());
    }
    let first = without_pairs(answers, first)?;
    let mut fewest = first.len();
    // Whatever set satisfies has no place of some known one, so it is found below one of that set's branches.
    let mut branches: VecDeque<(BTreeSet<usize>, Places)> = [(BTreeSet::new(), first)].into();
    let mut seen: BTreeSet<BTreeSet<usize>> = BTreeSet::new();
    while let Some((in_int8, found)) = branches.pop_front() {
        for place in found {
            let mut in_int8 = in_int8.clone();
            in_int8.insert(place);
            if !seen.insert(in_int8.clone()) {
                continue;
            }
            let others: Places = (0..answers.n_places()).filter(|place| !in_int8.contains(place)).collect();
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

/// A minimal set within places that satisfy: from a prefix no longer than the best set known, if one does, else from all.
fn reached(answers: &Answers, places: Places, fewest: usize) -> Result<Places, Untried> {
    let prefix = &places[..fewest.min(places.len())];
    let start = if answers.satisfies(prefix)? { prefix.to_vec() } else { places };
    shrunk(answers.n_places(), start, |places| answers.satisfies(places))
}

/// Puts pairs back as long as that satisfies; only a target that is not monotone allows it where no single place can go.
fn without_pairs(answers: &Answers, mut places: Places) -> Result<Places, Untried> {
    'again: loop {
        for second in (1..places.len()).rev() {
            for first in (0..second).rev() {
                let is_kept = |idx: &usize| *idx != first && *idx != second;
                let without: Places = (0..places.len()).filter(is_kept).map(|idx| places[idx]).collect();
                if answers.satisfies(&without)? {
                    places = shrunk(answers.n_places(), without, |places| answers.satisfies(places))?;
                    continue 'again;
                }
            }
        }
        return Ok(places);
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
            [0, 1, 2].iter().all(|place| rolled_back.contains(place)) || rolled_back.contains(&9)
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
                sets.iter().any(|set| set.iter().all(|place| rolled_back.contains(place)))
            };
            let best = searched(&Anytime, 8, satisfies).best.map(|best| best.len());
            prop_assert_eq!(best, sets.iter().map(BTreeSet::len).min());
        }
    }
}
