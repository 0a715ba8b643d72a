//! The trials of a search for the proposals of its strategy; the binary search of AMCT.

use crate::*;

/// A strategy that always proposes the same layers.
struct Constant(LayerSet);

impl PureStrategy for Constant {
    fn proposal(&self, _: &Ranking, _: &[Trial]) -> Option<LayerSet> {
        Some(self.0.clone())
    }
}

/// A strategy that fails.
struct Failing;

impl Strategy for Failing {
    fn next(&mut self, _: &Ranking, _: &[Trial]) -> Result<Option<LayerSet>, BoxError> {
        Err(std::io::Error::other("no proposal").into())
    }
}

#[test]
fn invalid_proposals_of_a_strategy_are_errors() {
    let message = |layers: &[u32]| {
        let mut searched = TestSearch::new(&["b"]);
        let groups = [searched.set(&["a", "c"])];
        let mut strategy =
            Constant(layers.iter().map(|&layer| intact8_quant::layer::LayerId(layer)).collect());
        searched
            .run_with(&mut strategy, TestOptions { groups: &groups, ..TestOptions::default() })
            .unwrap_err()
            .message
    };
    assert_eq!(message(&[4]), "the strategy rolls back layer 4, which is not in the search");
    assert_eq!(
        message(&[3]),
        "the strategy proposes the same layers repeatedly; it must propose new ones or stop"
    );
    assert_eq!(message(&[0]), "the strategy rolls back only a part of the group a, c");
    let error = TestSearch::new(&["b"]).run_with(&mut Failing, TestOptions::default()).unwrap_err();
    assert!(std::error::Error::source(&error).is_some_and(|cause| cause.is::<std::io::Error>()));
}

/// AMCT's `BinarySearchStrategy` with its state and the loop around it: at its end it proposes the best set again, unless that
/// was the last one tried.
#[derive(Default)]
struct AmctBinarySearch {
    n_asked: usize,
    bounds: Option<(i64, i64, i64)>,
    current: LayerSet,
    last_ok: LayerSet,
    has_ended: bool,
}

impl Strategy for AmctBinarySearch {
    fn next(&mut self, ranking: &Ranking, history: &[Trial]) -> Result<Option<LayerSet>, BoxError> {
        self.n_asked += 1;
        if self.has_ended {
            return Ok(None);
        }
        let ok = history.last().unwrap().verdict.satisfied;
        if ok {
            self.last_ok = self.current.clone();
        }
        let n = ranking.len() as i64;
        let mid = match self.bounds {
            None => {
                let mid = (n - 1).div_euclid(2);
                self.bounds = Some((0, n - 1, mid));
                mid
            }
            Some((left, right, mid)) => {
                let (left, right) = if ok { (left, mid - 1) } else { (mid + 1, right) };
                let mid = (left + right).div_euclid(2);
                self.bounds = Some((left, right, mid));
                if left > right {
                    self.has_ended = true;
                    let best = if ok { self.current.clone() } else { self.last_ok.clone() };
                    return Ok((best != self.current).then_some(best));
                }
                mid
            }
        };
        self.current = ranking.worst(usize::try_from(mid + 1)?);
        Ok(Some(self.current.clone()))
    }
}

#[test]
fn binary_search_makes_the_trials_of_amcts_state_machine() {
    for sensitive in [vec!["a"], vec!["b"], vec!["c"], vec!["d"], vec!["a", "c"], vec!["b", "d"]] {
        let trials = |strategy: &mut dyn Strategy| {
            let report = TestSearch::new(&sensitive).run_with(strategy, TestOptions::default()).unwrap();
            let rolled_back: Vec<_> = report.history.iter().map(|trial| trial.rolled_back.clone()).collect();
            (rolled_back, report.outcome.map(|outcome| outcome.rolled_back))
        };
        let mut amct = AmctBinarySearch::default();
        let (mut amct_trials, outcome) = trials(&mut amct);
        assert!(amct.n_asked <= amct_trials.len(), "it is asked once for each trial, and at the end");
        let (ours, our_outcome) = trials(&mut BinarySearch);
        assert_eq!(outcome, our_outcome);
        // AMCT may repeat the best trial at its end.
        if amct_trials.len() > ours.len() {
            let repeated = amct_trials.pop().unwrap();
            assert!(amct_trials.contains(&repeated), "{sensitive:?}");
        }
        assert_eq!(amct_trials, ours, "{sensitive:?}");
    }
}
