//! Linear search for the shortest prefix of the ranking.

use super::PureStrategy;
use super::bounds::Bounds;
use crate::outcome::Trial;
use crate::ranking::Ranking;
use intact8_quant::layer::LayerSet;

/// One more layer in each trial, the most sensitive of those in int8. It finds the shortest prefix of the ranking that meets
/// the target.
#[derive(Debug, Clone, Copy, Default)]
pub struct WorstFirst;

impl PureStrategy for WorstFirst {
    fn proposal(&self, ranking: &Ranking, history: &[Trial]) -> Option<LayerSet> {
        let bounds = Bounds::of(ranking, history);
        bounds.has_untried().then(|| ranking.worst(bounds.longest_miss + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::simulation::check_prefixes;

    #[test]
    fn prefixes_grow_by_one_layer() {
        check_prefixes(5, 3, &WorstFirst, &[1, 2, 3]);
        check_prefixes(3, 3, &WorstFirst, &[1, 2, 3]);
    }
}
