//! Searches over a small network, with a scorer that returns the layers in int8 and a judge that knows the sensitive layers.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use intact8_calibrate::{BoxError, CalibrationData, FloatModel, calibrate};
use intact8_interp::{FoldConstants, Interpreter};
use intact8_ir::{DType, Error, Graph, Model, PassObserver, Result, Tensor};
use intact8_quant::layer::LayerSet;
use intact8_quant::{Preparation, Prepared, QuantConfig, Record};
use intact8_search::ladder::{LADDER, Rung};
use intact8_search::strategy::{BinarySearch, Minimal, PureStrategy};
use intact8_search::{
    Candidate, Ending, Judge, Ranking, Report, Roles, SavedModel, Scorer, Scoring, SearchObserver,
    SearchOptions, Strategy, Subject, Trial, Verdict, rescore, search,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// Four layers in a row.
fn model() -> Model {
    let layer = |(name, x, y): &(&str, &str, &str)| {
        format!("%w{name} = const [1.0, 0.5, -2.0, 0.25] : f32[2,2]\n%{y} = MatMul(%{x}, %w{name}) @{name}\n")
    };
    let layers: String =
        [("a", "x", "p"), ("b", "p", "q"), ("c", "q", "r"), ("d", "r", "y")].iter().map(layer).collect();
    format!("model m opset 17\n%x = input : f32[N,2]\n{layers}return %y\n").parse().unwrap()
}

/// The layers of a model whose first input is dequantized.
fn in_int8(graph: &Graph) -> Vec<String> {
    let is_quantized = |id| {
        let producer = graph.operand(id, 0).map(|value| graph.node(value.node));
        producer.and_then(|node| node.as_op()).is_some_and(|op| op.name == "DequantizeLinear")
    };
    let ids = graph.topo().into_iter().filter(|&id| is_quantized(id));
    ids.map(|id| graph.node(id).name.clone()).collect()
}

/// The same batch of two samples as often as required; it counts the passes over the data.
#[derive(Default)]
struct Data {
    n_passes: usize,
}

impl CalibrationData for Data {
    fn for_each_batch(
        &mut self,
        n_batches: usize,
        visit: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), BoxError> {
        self.n_passes += 1;
        for _ in 0..n_batches {
            visit(&[Tensor::new(&[2, 2], vec![1.0f32, -1.5, 0.5, 2.0])])?;
        }
        Ok(())
    }
}

/// A scorer whose score is the names of the layers in int8.
#[derive(Default)]
struct LayersInInt8 {
    /// The number of scores after which it is cancelled.
    cancelled_after: Option<usize>,
    /// The index of the score that fails with an error of the scorer's own.
    fails_at: Option<usize>,
    n_scored: usize,
}

impl Scorer for LayersInInt8 {
    type Score = Vec<String>;

    fn score(
        &mut self,
        subject: Subject<'_>,
        _: &mut Scoring<'_, Vec<String>>,
    ) -> Result<Vec<String>, BoxError> {
        if self.cancelled_after.is_some_and(|n| self.n_scored >= n) {
            return Err(Error::cancelled("enough").into());
        }
        if self.fails_at == Some(self.n_scored) {
            return Err(std::io::Error::other("the scorer broke down").into());
        }
        self.n_scored += 1;
        Ok(in_int8(model_of(subject).main()))
    }
}

/// The model of a subject; of a trial, the fake-quant model.
fn model_of<'a>(subject: Subject<'a>) -> &'a Model {
    match subject {
        Subject::Original(model) => model,
        Subject::Trial { quantized, .. } => quantized.fake_quant(),
        Subject::Saved { model: SavedModel::FakeQuant(model), .. } => model,
        Subject::Saved { model: SavedModel::Deployed(deployed), .. } => deployed.model(),
    }
}

/// A judge that is satisfied if all of these layers are in float.
struct Sensitive(Vec<&'static str>);

impl Judge<Vec<String>> for Sensitive {
    fn judge(&mut self, _: &Vec<String>, in_int8: &Vec<String>) -> Result<Verdict, BoxError> {
        let n = self.0.iter().filter(|layer| in_int8.iter().any(|other| other == *layer)).count();
        Ok(Verdict { satisfied: n == 0, loss: n as f64 })
    }
}

/// An observer that stores scores by the layers rolled back.
#[derive(Default)]
struct ScoreStore(BTreeMap<LayerSet, Vec<String>>);

impl PassObserver for ScoreStore {}

impl SearchObserver<Vec<String>> for ScoreStore {
    fn recall(&mut self, candidate: Candidate<'_>) -> Option<Vec<String>> {
        match candidate {
            Candidate::Original => None,
            Candidate::Trial { rolled_back, .. } => self.0.get(rolled_back).cloned(),
        }
    }

    fn scored(&mut self, candidate: Candidate<'_>, score: &Vec<String>) -> Result<()> {
        if let Candidate::Trial { rolled_back, .. } = candidate {
            self.0.insert(rolled_back.clone(), score.clone());
        }
        Ok(())
    }
}

fn prepared(model: &Model) -> Prepared {
    Prepared::new(model, &Preparation::default(), Some(&FoldConstants), &mut ()).unwrap()
}

/// The options that tests set.
#[derive(Default)]
struct TestOptions<'a> {
    max_trials: Option<usize>,
    ladder: &'a [&'static Rung],
    groups: &'a [LayerSet],
    keep_best: bool,
}

/// A search of the four layers with its roles.
struct TestSearch {
    model: Model,
    prepared: Prepared,
    data: Data,
    scorer: LayersInInt8,
    judge: Sensitive,
    store: ScoreStore,
}

impl TestSearch {
    fn new(sensitive: &[&'static str]) -> TestSearch {
        let model = model();
        let prepared = prepared(&model);
        let (data, scorer, judge) = (Data::default(), LayersInInt8::default(), Sensitive(sensitive.to_vec()));
        TestSearch { model, prepared, data, scorer, judge, store: ScoreStore::default() }
    }

    fn set(&self, names: &[&str]) -> LayerSet {
        names.iter().map(|name| self.prepared.layers().id(name).unwrap()).collect()
    }

    fn run(&mut self, choices: TestOptions<'_>) -> Result<Report<Vec<String>>> {
        self.run_with(&mut Minimal, choices)
    }

    fn run_with(
        &mut self,
        strategy: &mut dyn Strategy,
        TestOptions { max_trials, ladder, groups, keep_best }: TestOptions<'_>,
    ) -> Result<Report<Vec<String>>> {
        let runtime = Interpreter::default();
        let float = FloatModel::new(&self.prepared, &runtime)?;
        let config = QuantConfig::for_model(self.prepared.model());
        let options = SearchOptions { max_trials, ladder, groups, keep_best, ..SearchOptions::new(strategy) };
        let roles = Roles {
            data: &mut self.data,
            scorer: &mut self.scorer,
            judge: &mut self.judge,
            observer: &mut self.store,
        };
        search(&float, &self.model, &config, roles, options)
    }
}

/// The record of a model under a configuration.
fn record(model: &Model, config: impl FnOnce(QuantConfig) -> QuantConfig) -> Record {
    let (prepared, runtime) = (prepared(model), Interpreter::default());
    let float = FloatModel::new(&prepared, &runtime).unwrap();
    let config = config(QuantConfig::for_model(prepared.model()));
    calibrate(&float, &config, &mut Data::default(), &mut ()).unwrap().into_record()
}

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
        // One pass each for observation, for the smoothed layers, for bias correction and for the ranking.
        assert_eq!(searched.data.n_passes, 4);
        // Each model, the original included, is scored once.
        assert_eq!(searched.scorer.n_scored, report.history.len() + 1);
    }
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

#[test]
fn layers_are_not_ranked_if_the_first_trial_meets_the_target() {
    let report = TestSearch::new(&[]).run_with(&mut BinarySearch, TestOptions::default()).unwrap();
    assert_eq!((report.ending, report.history.len()), (Ending::AllQuantized, 1));
    assert!(report.ranking.is_empty() && report.outcome.unwrap().rolled_back.is_empty());
}

/// A scorer whose score is the names of those of its layers that have activations of 8 bits.
struct LayersIn8Bits(Vec<&'static str>);

impl Scorer for LayersIn8Bits {
    type Score = Vec<String>;

    fn score(
        &mut self,
        subject: Subject<'_>,
        _: &mut Scoring<'_, Vec<String>>,
    ) -> Result<Vec<String>, BoxError> {
        let graph = model_of(subject).main();
        let is_8_bits = |name: &str| {
            let zero_point =
                graph.value_named(&format!("{name}.x.offset")).and_then(|value| graph.constant(value));
            zero_point.is_some_and(|zero_point| zero_point.dtype() == DType::I8)
        };
        Ok(self.0.iter().filter(|name| is_8_bits(name)).map(|name| (*name).to_owned()).collect())
    }
}

#[test]
fn layers_stay_on_the_first_rung_that_satisfies() {
    let ladder: Vec<&Rung> = LADDER.iter().collect();
    for wide in [vec!["b"], vec!["a", "d"], vec!["a", "b", "c", "d"]] {
        let (model, runtime) = (model(), Interpreter::default());
        let prepared = prepared(&model);
        let float = FloatModel::new(&prepared, &runtime).unwrap();
        let config = QuantConfig::for_model(prepared.model());
        let mut strategy = Minimal;
        let options = SearchOptions { ladder: &ladder, ..SearchOptions::new(&mut strategy) };
        let roles = Roles {
            data: &mut Data::default(),
            scorer: &mut LayersIn8Bits(wide.clone()),
            judge: &mut Sensitive(wide.clone()),
            observer: &mut (),
        };
        let report = search(&float, &model, &config, roles, options).unwrap();
        assert!(report.untried().is_empty() && report.ending == Ending::Finished);
        let outcome = report.outcome.unwrap();
        assert!(outcome.rolled_back.is_empty());
        let rungs: Vec<_> =
            outcome.rungs.iter().map(|(&layer, &rung)| (report.table.name(layer), rung)).collect();
        assert_eq!(rungs, wide.iter().map(|&layer| (layer, "int16")).collect::<Vec<_>>());
        for (layer, config) in &outcome.quantized.config().layers {
            let bits = if wide.contains(&layer.as_str()) { 16 } else { 8 };
            assert_eq!(config.activation_quant_params.num_bits, bits);
            assert_eq!(outcome.record.layers[layer].activations[0].bits, bits);
        }
        let mut tried: Vec<_> =
            report.history.iter().map(|trial| (&trial.rolled_back, &trial.rungs)).collect();
        tried.sort();
        assert!(tried.windows(2).all(|pair| pair[0] != pair[1]));
    }
}

#[test]
fn layers_that_no_rung_satisfies_stay_in_float() {
    let ladder: Vec<&Rung> = LADDER.iter().collect();
    let report =
        TestSearch::new(&["a", "c"]).run(TestOptions { ladder: &ladder, ..TestOptions::default() }).unwrap();
    assert!(report.untried().is_empty());
    let outcome = report.outcome.unwrap();
    assert_eq!((outcome.rolled_back.len(), outcome.rungs.len()), (2, 0));
    // If the trials are used up before the last rung, the best trial so far is the result.
    let most = report.history.len() - 1;
    let report = TestSearch::new(&["a", "c"]).run(TestOptions {
        ladder: &ladder,
        max_trials: Some(most),
        ..TestOptions::default()
    });
    let report = report.unwrap();
    assert_eq!((report.ending, report.history.len()), (Ending::OutOfTrials, most));
    assert_eq!(report.outcome.unwrap().rolled_back.len(), 2);
}

/// Layers in a row; each is followed by a Relu or by an Add of its input.
fn network(weights: &[[f32; 4]], skips: &[bool]) -> Model {
    let mut text = "model m opset 17\n%v0 = input : f32[N,2]\n".to_owned();
    for (idx, weight) in weights.iter().enumerate() {
        text += &format!(
            "%w{idx} = const {weight:?} : f32[2,2]\n%m{idx} = MatMul(%v{idx}, %w{idx}) @layer{idx}\n"
        );
        text += &match skips[idx] {
            true => format!("%v{} = Add(%m{idx}, %v{idx}) @sum{idx}\n", idx + 1),
            false => format!("%v{} = Relu(%m{idx})\n", idx + 1),
        };
    }
    text += &format!("return %v{}\n", weights.len());
    text.parse().unwrap()
}

proptest! {
    /// The parameters of a layer depend on other layers only if they share its input: the range of the input is clipped by the
    /// error that all of them make. So it suffices to calibrate once. A layer and the Add of its input are therefore rolled back
    /// together here. Smoothing is turned off: it divides and multiplies in the float model, which changes the last bits of the inputs of later layers.
    #[test]
    fn the_record_of_a_trial_is_a_part_of_the_record_of_all(
        weights in prop::collection::vec(prop::array::uniform4(-2.0f32..2.0), 1..6),
        skips in prop::array::uniform5(any::<bool>()),
        quantized: u16,
        joint_quant: bool,
    ) {
        let model = network(&weights, &skips);
        let plain = |config| QuantConfig { auto_balance: false, joint_quant, ..config };
        let all = record(&model, plain);
        let names: Vec<String> = all.layers.keys().cloned().collect();
        let is_rolled_back = |name: &&String| {
            let idx: u16 = name.trim_start_matches(char::is_alphabetic).parse().unwrap();
            quantized >> idx & 1 == 0
        };
        let rolled_back: Vec<String> = names.iter().filter(is_rolled_back).cloned().collect();
        let trial = record(&model, |config| plain(config).rolled_back(&rolled_back));
        prop_assert_eq!(trial.layers.len(), names.len() - rolled_back.len());
        for (layer, entry) in &trial.layers {
            prop_assert_eq!(entry, &all.layers[layer], "{} without {:?}", layer, rolled_back);
        }
    }
}

#[test]
fn the_record_of_the_result_is_a_part_of_the_record_of_all() {
    let all = record(&model(), |config| config);
    let result = TestSearch::new(&["b"]).run(TestOptions::default()).unwrap().outcome.unwrap().record;
    assert_eq!(result.layers.keys().collect::<Vec<_>>(), ["a", "c", "d"]);
    let is_same = |(layer, entry): (&String, &intact8_quant::LayerRecord)| {
        intact8_quant::LayerRecord { prepared: false, ..entry.clone() } == all.layers[layer]
    };
    assert!(result.layers.iter().all(is_same));
}

/// Two subgraphs capture one constant and compute a weight from it; preparation gives each a copy. Without the copies the
/// layers would have two activations, one of which is a constant of the outer graph.
#[test]
fn a_weight_captured_by_two_subgraphs_is_not_an_activation() {
    let branch = |x: &str, y: &str, n: usize| {
        format!(
            "%{y} = If(%c; %{x}, %{x}, %w) {{else_branch = graph {{
  %x.e{n} = capture
  return %x.e{n}
}}, then_branch = graph {{
  %x.t{n} = capture
  %w.t{n} = capture
  %t.t{n} = Transpose(%w.t{n})
  %z.t{n} = MatMul(%x.t{n}, %t.t{n}) @layer{n}
  %u.t{n} = MatMul(%z.t{n}, %w.t{n}) @after{n}
  return %u.t{n}
}}}}
"
        )
    };
    let head = "model m opset 17
%c = const [true] : bool[]
%x = input : f32[N,2]
%w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]
";
    let model: Model =
        format!("{head}{}{}return %y\n", branch("x", "p", 1), branch("p", "y", 2)).parse().unwrap();
    let prepared = prepared(&model);
    let config = QuantConfig::for_model(prepared.model());
    assert_eq!(config.layers.keys().collect::<Vec<_>>(), ["after1", "after2", "layer1", "layer2"]);
    let mut config = QuantConfig::default();
    config.layers.insert("after1".to_owned(), intact8_quant::LayerConfig::default());
    assert_eq!(
        config.check(&model).unwrap_err().to_string(),
        "layer \"after1\": can't be quantized: input 1 is a constant that several subgraphs read; remove it"
    );
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
        let saved = SavedModel::FakeQuant(&saved_model);
        rescore("deploy", Path::new("m.onnx"), saved, &mut roles, (&vec![], None)).unwrap()
    };
    for (sensitive, is_met) in [(vec!["b"], true), (vec!["b", "c"], false)] {
        report.rescored = rescored(&sensitive, None).into_iter().collect();
        assert_eq!((report.is_met(), report.final_score()), (is_met, Some(&in_int8(saved_model.main()))));
    }
    assert!(rescored(&["b"], Some(0)).is_none());
}
