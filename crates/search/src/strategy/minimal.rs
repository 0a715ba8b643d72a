//! The command's default: a prefix of the ranking that satisfies, then every layer back into int8 that can be.

use super::Strategy;
use super::answers::{Answers, Places, Untried, replayed};
use super::gallop;
use crate::outcome::Trial;
use crate::ranking::Ranking;

/// [`Gallop`](super::Gallop), then delta debugging: parts of what is rolled back, of half its length at first and
/// single places in the end, are put back into int8, those that rank best first, and stay there if the target holds.
///
/// When it comes to its end, putting back any single place has been tried and misses the target, whatever the target
/// is like. If rolling back more never makes things worse, `g` of `n` places must go, and `l = ⌈log2 n⌉`, it takes at
/// most `2·l + 1 + 2·g·(l + 1) + g` trials, wherever those places rank. If not even an eighth of all places can stay in
/// int8 it gives up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Minimal;

/// How small a part of everything is still worth a model.
const SMALLEST_PART: usize = 8;

impl Strategy for Minimal {
    fn next(&self, ranking: &Ranking, history: &[Trial]) -> Option<Vec<String>> {
        replayed(ranking, history, |answers| minimal(answers).map(drop))
    }
}

/// Places that satisfy, and no longer do if any one is taken away; all of them if the procedure gives up.
pub(super) fn minimal(answers: &Answers) -> Result<Places, Untried> {
    let prefix = gallop::prefix(answers)?;
    shrunk(answers.n_places(), (0..prefix).collect(), |places| answers.satisfies(places))
}

/// The same from places that satisfy, of so many in all.
pub(crate) fn shrunk<E>(
    n_places: usize,
    mut places: Vec<usize>,
    mut satisfies: impl FnMut(&[usize]) -> Result<bool, E>,
) -> Result<Vec<usize>, E> {
    let mut size = places.len().div_ceil(2);
    loop {
        let n_before = places.len();
        let mut end = n_before;
        while end > 0 {
            let start = end.saturating_sub(size);
            let without = [&places[..start], &places[end..]].concat();
            if satisfies(&without)? {
                places = without;
            }
            end = start;
        }
        let is_everything = places.len() == n_places;
        let is_minimal = size <= 1 && places.len() == n_before;
        if is_minimal || is_everything && size <= n_places.div_ceil(SMALLEST_PART) {
            return Ok(places);
        }
        size = size.div_ceil(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::simulation::{Searched, guilty_places, is_one_minimal, places, searched};
    use proptest::prelude::*;

    fn bound(n_places: usize, n_guilty: usize) -> usize {
        let log = n_places.next_power_of_two().ilog2() as usize;
        2 * log + 1 + 2 * n_guilty * (log + 1) + n_guilty
    }

    proptest! {
        #[test]
        fn the_guilty_are_found_wherever_they_rank((n_places, guilty) in guilty_places()) {
            let contains = |rolled_back: &[usize]| guilty.iter().all(|place| rolled_back.contains(place));
            let Searched { best, n_trials } = searched(&Minimal, n_places, contains);
            if guilty.len() < n_places {
                prop_assert_eq!(best, Some(guilty.clone()));
            }
            prop_assert!(n_trials <= bound(n_places, guilty.len()), "{} trials", n_trials);
        }

        #[test]
        fn nothing_can_be_put_back_whatever_the_target(n_places in 1usize..12, seed: u64) {
            // Every set of places satisfies or not by the toss of a coin.
            let satisfies = |rolled_back: &[usize]| {
                let bits = rolled_back.iter().fold(seed, |bits, &place| {
                    (bits ^ place as u64 ^ 0x9e37_79b9).wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(29)
                });
                bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1
            };
            let Searched { best, .. } = searched(&Minimal, n_places, satisfies);
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
        // Few places are all tried.
        assert_eq!(
            searched(&Minimal, 8, |rolled_back| rolled_back == places(&[0, 1, 2, 4, 5, 6, 7]))
                .best
                .map(|best| best.len()),
            Some(7)
        );
    }
}
