//! The search loop: its results, its ends, its failures, and scores of earlier runs.

use crate::*;

#[test]
fn only_sensitive_layers_stay_in_float() {
    for sensitive in [vec!["a"], vec!["d"], vec!["a", "c"], vec!["b", "c", "d"]] {
        let mut searched = TestSearch::new(&sensitive);
        let report = searched.run(TestOptions::default()).unwrap();
        assert!(report.untried().is_empty());
        let outcome = report.outcome.unwrap();
        assert_eq!(report.table.names(&outcome.rolled_back), sensitive);
        let in_int8 = in_int8(outcome.quantized.fake_quant().main());
        assert!(in_int8.iter().all(|layer| !sensitive.contains(&layer.as_str())));
        assert_eq!(outcome.record.layers.len(), 4 - sensitive.len());
        // One pass each for observation, for bias correction and for the ranking; layers with one weight are not smoothed here.
        assert_eq!(searched.data.n_passes, 3);
        // Each model, the original included, is scored once.
        assert_eq!(searched.scorer.n_scored, report.history.len() + 1);
    }
}

#[test]
fn layers_are_not_ranked_if_the_first_trial_meets_the_target() {
    let report = TestSearch::new(&[]).run_with(&mut BinarySearch, TestOptions::default()).unwrap();
    assert_eq!((report.ending, report.history.len()), (Ending::AllQuantized, 1));
    assert!(report.ranking.is_empty() && report.outcome.unwrap().rolled_back.is_empty());
}

#[test]
fn the_ranking_has_what_a_rollback_loses_and_gains() {
    let mut searched = TestSearch::new(&["b"]);
    let ranking = searched.run(TestOptions::default()).unwrap().ranking;
    assert!(ranking.0.iter().all(|entry| (entry.time_lost, entry.gain) == (0.0, 0.0)));
    let timed = ranking.0[0].layers[0];
    let options = TestOptions { time_lost: BTreeMap::from([(timed, 400.0)]), ..TestOptions::default() };
    let report = searched.run(options).unwrap();
    for (entry, before) in report.ranking.0.iter().zip(&ranking.0) {
        assert_eq!((&entry.layers, entry.similarity), (&before.layers, before.similarity));
        // The mean time of the four layers is 100.
        let time_lost = if entry.layers[0] == timed { 400.0 } else { 0.0 };
        assert_eq!(
            (entry.time_lost, entry.gain),
            (time_lost, (1.0 - entry.similarity) / (time_lost + 100.0))
        );
    }
}

/// As for a caller to whom the quantized model is worth nothing, although it meets the target.
#[test]
fn every_layer_is_rolled_back_after_a_search() {
    let mut searched = TestSearch::new(&["b"]);
    let mut report = searched.run(TestOptions::default()).unwrap();
    assert!(report.is_met() && !report.is_all_float());
    let runtime = Interpreter::default();
    let float = FloatModel::new(&searched.prepared, &runtime).unwrap();
    let config = QuantConfig::for_model(searched.prepared.model());
    let roles = Roles {
        data: &mut searched.data,
        scorer: &mut searched.scorer,
        judge: &mut searched.judge,
        observer: &mut searched.store,
    };
    let deploy = Some((DeployFormat::Qdq, Emission::default()));
    roll_back_all(&float, &config, roles, deploy, &mut report).unwrap();
    assert!(report.is_met() && report.is_all_float() && report.untried().is_empty());
    assert_eq!(report.best(), Some(report.history.len() - 1));
    let original = report.original.clone();
    let outcome = report.outcome.unwrap();
    assert_eq!((&outcome.score, outcome.arithmetic.counts().float), (&original, 4));
    assert!(outcome.record.layers.is_empty() && in_int8(outcome.deployed.unwrap().model().main()).is_empty());
}

#[test]
fn stored_scores_are_recalled() {
    let mut searched = TestSearch::new(&["b"]);
    let first = searched.run(TestOptions::default()).unwrap();
    searched.scorer.n_scored = 0;
    let second = searched.run(TestOptions::default()).unwrap();
    assert_eq!((searched.scorer.n_scored, second.n_recalled), (1, first.history.len()));
    assert_eq!(first.history, second.history);
}

#[test]
fn a_search_that_ends_early_reports_its_trials() {
    let mut searched = TestSearch::new(&["b"]);
    searched.scorer.cancelled_after = Some(1);
    assert_eq!(searched.run(TestOptions::default()).unwrap_err().message, "enough");
    for n_scores in 2..4 {
        let mut searched = TestSearch::new(&["b"]);
        searched.scorer.cancelled_after = Some(n_scores);
        let report = searched.run(TestOptions::default()).unwrap();
        assert_eq!((report.ending, report.history.len()), (Ending::Interrupted, n_scores - 1));
    }
    let report =
        TestSearch::new(&["b"]).run(TestOptions { max_trials: Some(2), ..TestOptions::default() }).unwrap();
    assert_eq!((report.ending, report.history.len()), (Ending::OutOfTrials, 2));
}

#[test]
fn a_failure_after_the_first_trial_is_in_the_report() {
    for fails_at in [0, 1] {
        let mut searched = TestSearch::new(&["b"]);
        searched.scorer.fails_at = Some(fails_at);
        let error = searched.run(TestOptions::default()).unwrap_err();
        assert_eq!(error.to_string(), "the scorer broke down");
        assert!(std::error::Error::source(&error).is_some_and(|cause| cause.is::<std::io::Error>()));
    }
    let mut searched = TestSearch::new(&["b"]);
    searched.scorer.fails_at = Some(2);
    let report = searched.run(TestOptions::default()).unwrap();
    assert_eq!((report.ending, report.history.len()), (Ending::Interrupted, 1));
    assert_eq!(report.failure.unwrap().to_string(), "the scorer broke down");
}

#[test]
fn the_ranking_has_groups_and_costs() {
    let mut searched = TestSearch::new(&["a"]);
    let (group, d) = (searched.set(&["d", "a"]), searched.prepared.layers().id("d").unwrap());
    let groups = [group.clone()];
    let report = searched.run(TestOptions { groups: &groups, ..TestOptions::default() }).unwrap();
    // Two layers with the product of a row of 2 and a matrix of 2 by 2.
    assert_eq!((report.ranking.len(), report.ranking.entry_of(d).unwrap().cost), (3, 8));
    let outcome = report.outcome.as_ref().unwrap();
    assert_eq!((&outcome.rolled_back, report.cost(&outcome.rolled_back)), (&group, 8));
    let twice = [searched.set(&["a"]), searched.set(&["b", "a"])];
    let error = searched.run(TestOptions { groups: &twice, ..TestOptions::default() }).unwrap_err();
    assert_eq!(error.to_string(), "a: is in two groups; name it in one");
}

#[test]
fn keep_best_makes_the_closest_trial_the_outcome() {
    let all = ["a", "b", "c", "d"];
    let missed = TestSearch::new(&all).run(TestOptions::default()).unwrap();
    assert!(missed.outcome.is_none() && !missed.is_met());
    let with_keep_best =
        TestSearch::new(&all).run(TestOptions { keep_best: true, ..TestOptions::default() }).unwrap();
    assert_eq!(with_keep_best.history, missed.history);
    let closest = &with_keep_best.history[with_keep_best.closest];
    let least = with_keep_best.history.iter().map(|trial| trial.verdict.loss).fold(f64::INFINITY, f64::min);
    assert_eq!((closest.verdict.loss, closest.verdict.satisfied), (least, false));
    assert!(!with_keep_best.is_met());
    assert_eq!(with_keep_best.outcome.unwrap().rolled_back, closest.rolled_back);
}

#[test]
fn the_target_is_missed_if_a_saved_model_misses_it() {
    let mut searched = TestSearch::new(&["b"]);
    let mut report = searched.run(TestOptions::default()).unwrap();
    assert!(report.is_met());
    let saved_model = report.outcome.as_ref().unwrap().quantized.fake_quant().clone();
    let rescored = |sensitive: &[&'static str], cancelled_after: Option<usize>| {
        let (mut scorer, mut judge) =
            (LayersInInt8 { cancelled_after, ..LayersInInt8::default() }, Sensitive(sensitive.to_vec()));
        let (data, observer) = (&mut Data::default(), &mut ());
        let mut roles = Roles { data, scorer: &mut scorer, judge: &mut judge, observer };
        let saved = SavedModel::FakeQuant { model: &saved_model, deployed: None };
        rescore("deploy", Path::new("m.onnx"), saved, &mut roles, (&vec![], None)).unwrap()
    };
    for (sensitive, is_met) in [(vec!["b"], true), (vec!["b", "c"], false)] {
        report.rescored = rescored(&sensitive, None).into_iter().collect();
        assert_eq!((report.is_met(), report.final_score()), (is_met, Some(&in_int8(saved_model.main()))));
    }
    assert!(rescored(&["b"], Some(0)).is_none());
}
