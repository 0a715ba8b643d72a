//! One layer at a time, with a new look at the network after each.

use super::Strategy;
use crate::outcome::Trial;
use crate::ranking::Ranking;

/// One more place each time, the worst in a ranking that is made anew after each trial.
///
/// Sees how layers work together, which a ranking of single layers can't; costs a pass over the calibration data for
/// each layer and trial.
#[derive(Debug, Clone, Copy, Default)]
pub struct Greedy;

impl Strategy for Greedy {
    fn next(&self, ranking: &Ranking, history: &[Trial]) -> Option<Vec<String>> {
        let last = history.last().filter(|trial| !trial.verdict.satisfied)?;
        let rolled_back = ranking.places_of(&last.rolled_back);
        let worst = (0..ranking.len()).find(|place| !rolled_back.contains(place))?;
        Some([last.rolled_back.clone(), ranking.layers([worst])].concat())
    }

    fn reranks(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::simulation::{ranking, trial};

    #[test]
    fn the_worst_of_the_latest_ranking_joins_those_of_the_last_trial() {
        let mut latest = ranking(4);
        latest.0.reverse();
        let history = [trial(&[], false), trial(&[1], false)];
        assert_eq!(Greedy.next(&latest, &history).unwrap(), ["layer1", "layer3"]);
        assert_eq!(Greedy.next(&latest, &[trial(&[], false), trial(&[1], true)]), None);
    }
}
