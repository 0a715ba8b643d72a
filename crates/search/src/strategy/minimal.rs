//! The default strategy: a prefix of the ranking that meets the target, reduced to a 1-minimal set by delta debugging.

use super::PureStrategy;
use super::answers::{Answers, Entries, Untried, next_untried};
use super::gallop;
use crate::outcome::Trial;
use crate::ranking::Ranking;
use intact8_quant::layer::LayerSet;

/// [`Gallop`](super::Gallop), then delta debugging (Zeller and Hildebrandt 2002): parts of the rolled-back entries, at first
/// halves and finally single entries, are put back into int8, the least sensitive first, and stay there if the target is met.
///
/// Where the times are known that rollbacks lose, entries that gain the least accuracy for their time are put back first, and the
/// same is done once more with a prefix of the entries in the order of that gain: of the two results the search keeps the one that
/// loses less time.
///
/// When it stops, putting back any single entry has been tried and misses the target, for every kind of target. If rolling
/// back more layers never makes the result worse, and exactly `g` of `n` entries must be rolled back, it needs at most
/// `2·l + 1 + 2·g·(l + 1) + g` trials with `l = ⌈log2 n⌉`, independent of their ranks, or twice as many with times. It stops without a result if not
/// even an eighth of all entries can stay in int8.
#[derive(Debug, Clone, Copy, Default)]
pub struct Minimal;

/// The smallest part of all entries in int8 for which a model is still searched: one in this many.
const SMALLEST_PART: usize = 8;

impl PureStrategy for Minimal {
    fn proposal(&self, ranking: &Ranking, history: &[Trial]) -> Option<LayerSet> {
        next_untried(ranking, history, |answers| minimal(answers).map(drop))
    }
}

/// Entries that satisfy, but not if any single one is put back; all entries if the procedure stops without a result.
pub(super) fn minimal(answers: &Answers<'_>) -> Result<Entries, Untried> {
    let reduced = |order: &[usize]| {
        let start = answers.by_gain(gallop::prefix(answers, order)?);
        minimize(answers.n_entries(), start, |entries| answers.satisfies(entries))
    };
    let by_rank = answers.by_rank();
    let found = reduced(&by_rank)?;
    let by_gain = answers.by_gain(by_rank.clone());
    if by_gain == by_rank || found.len() == by_rank.len() {
        return Ok(found);
    }
    let other = reduced(&by_gain)?;
    Ok(if answers.time_lost(&other) < answers.time_lost(&found) { other } else { found })
}

/// Reduces entries that satisfy, of `n_entries` in all, to a set from which no single one can be removed; all entries if it
/// stops without a result.
pub(crate) fn minimize<E>(
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
    use crate::strategy::simulation::{SearchResult, is_one_minimal, run_strategy, sensitive_entries, trial};
    use proptest::prelude::*;

    fn bound(n_entries: usize, n_sensitive: usize) -> usize {
        let log = n_entries.next_power_of_two().ilog2() as usize;
        2 * log + 1 + 2 * n_sensitive * (log + 1) + n_sensitive
    }

    proptest! {
        #[test]
        fn the_sensitive_entries_are_found_at_every_rank((n_entries, sensitive) in sensitive_entries()) {
            let contains = |rolled_back: &[usize]| sensitive.iter().all(|entry| rolled_back.contains(entry));
            let SearchResult { best, n_trials } = run_strategy(&Minimal, n_entries, contains);
            if sensitive.len() < n_entries {
                prop_assert_eq!(best, Some(sensitive.clone()));
            }
            prop_assert!(n_trials <= bound(n_entries, sensitive.len()), "{} trials", n_trials);
        }

        #[test]
        fn no_entry_of_the_result_can_be_put_back_for_any_target(n_entries in 1usize..12, seed: u64) {
            // Every set of entries satisfies with a probability of one half.
            let satisfies = |rolled_back: &[usize]| {
                let bits = rolled_back.iter().fold(seed, |bits, &entry| {
                    (bits ^ entry as u64 ^ 0x9e37_79b9).wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(29)
                });
                bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1
            };
            let SearchResult { best, .. } = run_strategy(&Minimal, n_entries, satisfies);
            if let Some(best) = best {
                prop_assert!(is_one_minimal(&best, satisfies));
            }
        }
    }

    #[test]
    fn two_sensitive_entries_that_rank_first_take_three_trials() {
        let both = |rolled_back: &[usize]| rolled_back.contains(&0) && rolled_back.contains(&1);
        // The first, the first two, and the second without the first.
        assert_eq!(run_strategy(&Minimal, 12, both), SearchResult { best: Some(vec![0, 1]), n_trials: 3 });
    }

    /// The target is met with the most sensitive entry rolled back, which loses much time, or with two that lose little.
    #[test]
    fn a_set_that_loses_less_time_is_found() {
        let mut ranking = crate::strategy::simulation::ranking(8);
        for (idx, entry) in ranking.0.iter_mut().enumerate() {
            entry.time_lost = if idx == 0 { 100.0 } else { 1.0 };
            entry.gain = if [4, 6].contains(&idx) { 2.0 } else { 1.0 };
        }
        let satisfies =
            |entries: &[usize]| entries.contains(&0) || entries.contains(&4) && entries.contains(&6);
        let mut history = vec![trial(&[], false)];
        while let Some(next) = Minimal.proposal(&ranking, &history) {
            let entries = ranking.entries_of(&next);
            history.push(trial(&entries, satisfies(&entries)));
        }
        let tried = |entries: &[usize]| history.contains(&trial(entries, true));
        assert!(tried(&[0]) && tried(&[4, 6]), "{history:?}");
        let time_lost = |trial: &Trial| {
            trial.rolled_back.iter().map(|layer| ranking.0[layer.0 as usize].time_lost).sum::<f64>()
        };
        let least = history.iter().filter(|trial| trial.verdict.satisfied).map(time_lost).reduce(f64::min);
        assert_eq!(least, Some(2.0));
    }

    #[test]
    fn a_target_that_only_the_original_meets_is_given_up() {
        let SearchResult { best, n_trials } = run_strategy(&Minimal, 64, |_| false);
        assert_eq!(best, None);
        assert!(n_trials < 12 + 2 + 4 + 8, "{n_trials}");
        // Of few entries every single one is tried in int8.
        assert_eq!(
            run_strategy(&Minimal, 8, |rolled_back| rolled_back == [0, 1, 2, 4, 5, 6, 7])
                .best
                .map(|best| best.len()),
            Some(7)
        );
    }
}
