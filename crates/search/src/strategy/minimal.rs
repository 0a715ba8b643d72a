//! The command's default: a prefix of the ranking that satisfies, then every layer back into int8 that can be.

use super::PureStrategy;
use super::answers::{Answers, Entries, Untried, replayed};
use super::gallop;
use crate::outcome::Trial;
use crate::ranking::Ranking;
use intact8_quant::layer::LayerSet;

/// [`Gallop`](super::Gallop), then delta debugging: parts of what is rolled back, of half its length at first and
/// single entries in the end, are put back into int8, those that rank best first, and stay there if the target holds.
///
/// When it comes to its end, putting back any single entry has been tried and misses the target, whatever the target
/// is like. If rolling back more never makes things worse, `g` of `n` entries must go, and `l = ⌈log2 n⌉`, it takes at
/// most `2·l + 1 + 2·g·(l + 1) + g` trials, wherever those entries rank. If not even an eighth of all entries can stay in
/// int8 it gives up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Minimal;

/// How small a part of everything is still worth a model.
const SMALLEST_PART: usize = 8;

impl PureStrategy for Minimal {
    fn proposal(&self, ranking: &Ranking, history: &[Trial]) -> Option<LayerSet> {
        replayed(ranking, history, |answers| minimal(answers).map(drop))
    }
}

/// Entries that satisfy, and no longer do if any one is taken away; all of them if the procedure gives up.
pub(super) fn minimal(answers: &Answers) -> Result<Entries, Untried> {
    let prefix = gallop::prefix(answers)?;
    shrunk(answers.n_entries(), (0..prefix).collect(), |entries| answers.satisfies(entries))
}

/// The same from entries that satisfy, of so many in all.
pub(crate) fn shrunk<E>(
    n_entries: usize,
    mut entries: Vec<usize>,
    mut satisfies: impl FnMut(&[usize]) -> Result<bool, E>,
) -> Result<Vec<usize>, E> {
    let mut size = entries.len().div_ceil(2);
    loop {
        let n_before = entries.len();
        let mut end = n_before;
        while end > 0 {
            let start = end.saturating_sub(size);
            let without = [&entries[..start], &entries[end..]].concat();
            if satisfies(&without)? {
                entries = without;
            }
            end = start;
        }
        let is_everything = entries.len() == n_entries;
        let is_minimal = size <= 1 && entries.len() == n_before;
        if is_minimal || is_everything && size <= n_entries.div_ceil(SMALLEST_PART) {
            return Ok(entries);
        }
        size = size.div_ceil(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::simulation::{Searched, entries, is_one_minimal, searched, sensitive_entries};
    use proptest::prelude::*;

    fn bound(n_entries: usize, n_guilty: usize) -> usize {
        let log = n_entries.next_power_of_two().ilog2() as usize;
        2 * log + 1 + 2 * n_guilty * (log + 1) + n_guilty
    }

    proptest! {
        #[test]
        fn the_guilty_are_found_wherever_they_rank((n_entries, guilty) in sensitive_entries()) {
            let contains = |rolled_back: &[usize]| guilty.iter().all(|entry| rolled_back.contains(entry));
            let Searched { best, n_trials } = searched(&Minimal, n_entries, contains);
            if guilty.len() < n_entries {
                prop_assert_eq!(best, Some(guilty.clone()));
            }
            prop_assert!(n_trials <= bound(n_entries, guilty.len()), "{} trials", n_trials);
        }

        #[test]
        fn nothing_can_be_put_back_whatever_the_target(n_entries in 1usize..12, seed: u64) {
            // Every set of entries satisfies or not by the toss of a coin.
            let satisfies = |rolled_back: &[usize]| {
                let bits = rolled_back.iter().fold(seed, |bits, &entry| {
                    (bits ^ entry as u64 ^ 0x9e37_79b9).wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(29)
                });
                bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1
            };
            let Searched { best, .. } = searched(&Minimal, n_entries, satisfies);
            if let Some(best) = best {
                prop_assert!(is_one_minimal(&best, satisfies));
            }
        }
    }

    #[test]
    fn two_that_rank_worst_take_three_trials() {
        let both = |rolled_back: &[usize]| rolled_back.contains(&0) && rolled_back.contains(&1);
        // The worst, the two worst, and the second without the first.
        assert_eq!(searched(&Minimal, 12, both), Searched { best: Some(vec![0, 1]), n_trials: 3 });
    }

    #[test]
    fn a_hopeless_target_is_given_up() {
        let Searched { best, n_trials } = searched(&Minimal, 64, |_| false);
        assert_eq!(best, None);
        assert!(n_trials < 12 + 2 + 4 + 8, "{n_trials}");
        // Few entries are all tried.
        assert_eq!(
            searched(&Minimal, 8, |rolled_back| rolled_back == entries(&[0, 1, 2, 4, 5, 6, 7]))
                .best
                .map(|best| best.len()),
            Some(7)
        );
    }
}
