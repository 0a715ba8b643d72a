//! The literal reading of the requirement's step 4e.

use super::PureStrategy;
use super::bounds::Bounds;
use crate::outcome::Trial;
use crate::ranking::Ranking;
use intact8_quant::layer::LayerSet;

/// One more layer each time, the worst of those that are left.
#[derive(Debug, Clone, Copy, Default)]
pub struct WorstFirst;

impl PureStrategy for WorstFirst {
    fn proposal(&self, ranking: &Ranking, history: &[Trial]) -> Option<LayerSet> {
        let bounds = Bounds::of(ranking, history);
        bounds.are_open().then(|| ranking.worst(bounds.fails + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::simulation::check_prefixes;

    #[test]
    fn one_more_each_time() {
        check_prefixes(5, 3, &WorstFirst, &[1, 2, 3]);
        check_prefixes(3, 3, &WorstFirst, &[1, 2, 3]);
    }
}
