//! Exponential search, then binary search: fast if few layers are sensitive and these rank first.

use super::PureStrategy;
use super::answers::{Answers, Entries, Untried, next_untried};
use crate::outcome::Trial;
use crate::ranking::Ranking;
use intact8_quant::layer::LayerSet;

/// The shortest prefix of the ranking that meets the target, searched at the lengths 1, 2, 4, … and then between the last two.
///
/// If rolling back more layers never makes the result worse, it needs about `2·log2 k` trials for a prefix of `k` layers,
/// independent of the number of layers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gallop;

impl PureStrategy for Gallop {
    fn proposal(&self, ranking: &Ranking, history: &[Trial]) -> Option<LayerSet> {
        next_untried(ranking, history, |answers| prefix(answers, &answers.by_rank()).map(drop))
    }
}

/// A prefix of all entries in some order that satisfies while the prefix that is one entry shorter does not. The prefix of all
/// entries satisfies without a trial.
pub(super) fn prefix(answers: &Answers<'_>, order: &[usize]) -> Result<Entries, Untried> {
    let (mut longest_miss, mut shortest_hit) = (0, 1.min(order.len()));
    while !answers.satisfies(&order[..shortest_hit])? {
        longest_miss = shortest_hit;
        shortest_hit = (2 * shortest_hit).min(order.len());
    }
    while shortest_hit - longest_miss > 1 {
        let middle = longest_miss.midpoint(shortest_hit);
        match answers.satisfies(&order[..middle])? {
            true => shortest_hit = middle,
            false => longest_miss = middle,
        }
    }
    Ok(order[..shortest_hit].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::simulation::{check_prefixes, prefix_lengths};

    #[test]
    fn the_length_doubles_then_is_searched_by_halving() {
        check_prefixes(8, 1, &Gallop, &[1]);
        check_prefixes(8, 2, &Gallop, &[1, 2]);
        check_prefixes(100, 5, &Gallop, &[1, 2, 4, 8, 6, 5]);
        check_prefixes(8, 6, &Gallop, &[1, 2, 4, 6, 5]);
        // All layers would have to be rolled back: the search ends without a trial of that.
        check_prefixes(8, 8, &Gallop, &[1, 2, 4, 6, 7]);
        check_prefixes(1, 1, &Gallop, &[]);
    }

    #[test]
    fn the_shortest_prefix_is_found_in_few_trials() {
        for n_layers in 2..60usize {
            for needed in 1..n_layers {
                let lengths = prefix_lengths(&Gallop, n_layers, |n| n >= needed);
                assert!(lengths.contains(&Some(needed)));
                let bound = 2 * needed.ilog2() + 3;
                assert!(lengths.len() <= bound as usize, "{n_layers} layers, {needed} needed: {lengths:?}");
            }
        }
    }
}
