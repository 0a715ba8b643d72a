//! One layer at a time, with a new look at the network after each.

use super::PureStrategy;
use crate::outcome::Trial;
use crate::ranking::Ranking;
use intact8_quant::layer::LayerSet;

/// One more entry each time, the worst in a ranking that is made anew after each trial.
///
/// Sees how layers work together, which a ranking of single layers can't; costs a pass over the calibration data for
/// each layer and trial.
#[derive(Debug, Clone, Copy, Default)]
pub struct Greedy;

impl PureStrategy for Greedy {
    fn proposal(&self, ranking: &Ranking, history: &[Trial]) -> Option<LayerSet> {
        let last = history.last().filter(|trial| !trial.verdict.satisfied)?;
        let rolled_back = ranking.entries_of(&last.rolled_back);
        let worst = (0..ranking.len()).find(|entry| !rolled_back.contains(entry))?;
        Some(last.rolled_back.union(&ranking.layers([worst])).copied().collect())
    }

    fn reranks(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::simulation::{ranking, trial};
    use intact8_quant::layer::LayerId;

    #[test]
    fn the_worst_of_the_latest_ranking_joins_those_of_the_last_trial() {
        let mut latest = ranking(4);
        latest.0.reverse();
        let history = [trial(&[], false), trial(&[1], false)];
        assert_eq!(Greedy.proposal(&latest, &history).unwrap(), [1, 3].map(LayerId).into());
        assert_eq!(Greedy.proposal(&latest, &[trial(&[], false), trial(&[1], true)]), None);
    }
}
