//! One layer in each trial, by a ranking that is computed again after each.

use super::PureStrategy;
use crate::outcome::Trial;
use crate::ranking::Ranking;
use intact8_quant::layer::LayerSet;

/// Each trial rolls back one more entry: the most sensitive one of a ranking that is computed again after each trial.
///
/// It accounts for the interaction of layers, which a ranking of single layers does not. It needs one pass over the
/// calibration data for each layer and trial.
#[derive(Debug, Clone, Copy, Default)]
pub struct Greedy;

impl PureStrategy for Greedy {
    fn proposal(&self, ranking: &Ranking, history: &[Trial]) -> Option<LayerSet> {
        let last = history.last().filter(|trial| !trial.verdict.satisfied)?;
        let rolled_back = ranking.entries_of(&last.rolled_back);
        let most_sensitive = (0..ranking.len()).find(|entry| !rolled_back.contains(entry))?;
        Some(last.rolled_back.union(&ranking.layers([most_sensitive])).copied().collect())
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
    fn the_first_entry_of_the_latest_ranking_is_rolled_back_as_well() {
        let mut latest = ranking(4);
        latest.0.reverse();
        let history = [trial(&[], false), trial(&[1], false)];
        assert_eq!(Greedy.proposal(&latest, &history).unwrap(), [1, 3].map(LayerId).into());
        assert_eq!(Greedy.proposal(&latest, &[trial(&[], false), trial(&[1], true)]), None);
    }
}
