//! Doubling, then halving: quick where few layers are guilty, and those rank worst.

use super::PureStrategy;
use super::answers::{Answers, Untried, replayed};
use crate::outcome::Trial;
use crate::ranking::Ranking;
use intact8_quant::layer::LayerSet;

/// The shortest prefix of the ranking that satisfies, looked for at 1, 2, 4, … and then between the last two.
///
/// Finds it, if rolling back more never makes things worse, in about twice the logarithm of its length, not of the
/// number of layers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gallop;

impl PureStrategy for Gallop {
    fn proposal(&self, ranking: &Ranking, history: &[Trial]) -> Option<LayerSet> {
        replayed(ranking, history, |answers| prefix(answers).map(drop))
    }
}

/// The length of a prefix that satisfies while the one that is one shorter does not. All entries do, untried.
pub(super) fn prefix(answers: &Answers) -> Result<usize, Untried> {
    let (mut fails, mut passes) = (0, 1.min(answers.n_entries()));
    while !answers.prefix_satisfies(passes)? {
        fails = passes;
        passes = (2 * passes).min(answers.n_entries());
    }
    while passes - fails > 1 {
        let middle = fails.midpoint(passes);
        match answers.prefix_satisfies(middle)? {
            true => passes = middle,
            false => fails = middle,
        }
    }
    Ok(passes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::simulation::{check_prefixes, visits};

    #[test]
    fn doubling_then_halving() {
        check_prefixes(8, 1, &Gallop, &[1]);
        check_prefixes(8, 2, &Gallop, &[1, 2]);
        check_prefixes(100, 5, &Gallop, &[1, 2, 4, 8, 6, 5]);
        check_prefixes(8, 6, &Gallop, &[1, 2, 4, 6, 5]);
        // Everything would have to go: that is the end, and nothing to try.
        check_prefixes(8, 8, &Gallop, &[1, 2, 4, 6, 7]);
        check_prefixes(1, 1, &Gallop, &[]);
    }

    #[test]
    fn the_shortest_prefix_is_found() {
        for n_layers in 2..60usize {
            for needed in 1..n_layers {
                let visits = visits(&Gallop, n_layers, |n| n >= needed);
                assert!(visits.contains(&Some(needed)));
                let bound = 2 * needed.ilog2() + 3;
                assert!(visits.len() <= bound as usize, "{n_layers} layers, {needed} needed: {visits:?}");
            }
        }
    }
}
