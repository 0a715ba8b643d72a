//! Searches over a small network, with a scorer and a judge that know which layers are sensitive.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use intact8_calibrate::{BoxError, CalibrationData, FloatModel, calibrate};
use intact8_interp::{FoldConstants, Interpreter};
use intact8_ir::{DType, Error, Graph, Model, PassObserver, Result, Tensor};
use intact8_quant::layer::LayerSet;
use intact8_quant::{Preparation, Prepared, QuantConfig, Record};
use intact8_search::{
    BinarySearch, Candidate, Ending, Judge, LADDER, Minimal, PureStrategy, Ranking, Report, Roles, Rung,
    SavedModel, Scorer, Scoring, SearchObserver, SearchOptions, Strategy, Subject, Trial, Verdict, rescore,
    search,
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

/// The layers of a model that read a quantized activation.
fn in_int8(graph: &Graph) -> Vec<String> {
    let is_quantized = |id| {
        let producer = graph.operand(id, 0).map(|value| graph.node(value.node));
        producer.and_then(|node| node.as_op()).is_some_and(|op| op.name == "DequantizeLinear")
    };
    let ids = graph.topo().into_iter().filter(|&id| is_quantized(id));
    ids.map(|id| graph.node(id).name.clone()).collect()
}

/// Batches of one sample, counted.
#[derive(Default)]
struct Data {
    n_passes: usize,
}

impl CalibrationData for Data {
    fn for_each_batch(
        &mut self,
        n_batches: usize,
        see: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), BoxError> {
        self.n_passes += 1;
        for _ in 0..n_batches {
            see(&[Tensor::new(&[2, 2], vec![1.0f32, -1.5, 0.5, 2.0])])?;
        }
        Ok(())
    }
}

/// Scores a model by the names of its layers in int8.
#[derive(Default)]
struct InInt8 {
    /// How many scores it gives before it is cancelled.
    patience: Option<usize>,
    /// Which score fails with an error of the scorer's own.
    fails_at: Option<usize>,
    n_scored: usize,
}

impl Scorer for InInt8 {
    type Score = Vec<String>;

    fn score(
        &mut self,
        subject: Subject<'_>,
        _: &mut Scoring<'_, Vec<String>>,
    ) -> Result<Vec<String>, BoxError> {
        if self.patience.is_some_and(|patience| self.n_scored >= patience) {
            return Err(Error::cancelled("enough").into());
        }
        if self.fails_at == Some(self.n_scored) {
            return Err(std::io::Error::other("the scorer broke down").into());
        }
        self.n_scored += 1;
        Ok(in_int8(scored(subject).main()))
    }
}

/// The model that a scorer of simulations scores.
fn scored<'a>(subject: Subject<'a>) -> &'a Model {
    match subject {
        Subject::Original(model) => model,
        Subject::Trial { quantized, .. } => quantized.fake_quant(),
        Subject::Saved { model: SavedModel::FakeQuant(model), .. } => model,
        Subject::Saved { model: SavedModel::Deployed(deployed), .. } => deployed.model(),
    }
}

/// Satisfied as long as these layers are in float.
struct Sensitive(Vec<&'static str>);

impl Judge<Vec<String>> for Sensitive {
    fn judge(&mut self, _: &Vec<String>, in_int8: &Vec<String>) -> Result<Verdict, BoxError> {
        let n = self.0.iter().filter(|layer| in_int8.iter().any(|other| other == *layer)).count();
        Ok(Verdict { satisfied: n == 0, loss: n as f64 })
    }
}

/// Scores by the layers rolled back.
#[derive(Default)]
struct Memory(BTreeMap<LayerSet, Vec<String>>);

impl PassObserver for Memory {}

impl SearchObserver<Vec<String>> for Memory {
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
struct Choices<'a> {
    max_trials: Option<usize>,
    ladder: &'a [&'static Rung],
    groups: &'a [LayerSet],
    keep_best: bool,
}

/// A search of the four layers with all roles at hand.
struct Searched {
    model: Model,
    prepared: Prepared,
    data: Data,
    scorer: InInt8,
    judge: Sensitive,
    memory: Memory,
}

impl Searched {
    fn new(sensitive: &[&'static str]) -> Searched {
        let model = model();
        let prepared = prepared(&model);
        let (data, scorer, judge) = (Data::default(), InInt8::default(), Sensitive(sensitive.to_vec()));
        Searched { model, prepared, data, scorer, judge, memory: Memory::default() }
    }

    fn set(&self, names: &[&str]) -> LayerSet {
        names.iter().map(|name| self.prepared.layers().id(name).unwrap()).collect()
    }

    fn run(&mut self, choices: Choices<'_>) -> Result<Report<Vec<String>>> {
        self.run_with(&mut Minimal, choices)
    }

    fn run_with(
        &mut self,
        strategy: &mut dyn Strategy,
        Choices { max_trials, ladder, groups, keep_best }: Choices<'_>,
    ) -> Result<Report<Vec<String>>> {
        let runtime = Interpreter::default();
        let float = FloatModel::new(&self.prepared, &runtime)?;
        let config = QuantConfig::for_model(self.prepared.model());
        let options = SearchOptions { max_trials, ladder, groups, keep_best, ..SearchOptions::new(strategy) };
        let roles = Roles {
            data: &mut self.data,
            scorer: &mut self.scorer,
            judge: &mut self.judge,
            observer: &mut self.memory,
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
fn only_the_sensitive_layers_stay_float() {
    for sensitive in [vec!["a"], vec!["d"], vec!["a", "c"], vec!["b", "c", "d"]] {
        let mut searched = Searched::new(&sensitive);
        let report = searched.run(Choices::default()).unwrap();
        assert!(report.untried().is_empty());
        let outcome = report.outcome.unwrap();
        assert_eq!(report.table.names(&outcome.rolled_back), sensitive);
        let in_int8 = in_int8(outcome.quantized.fake_quant().main());
        assert!(in_int8.iter().all(|layer| !sensitive.contains(&layer.as_str())));
        assert_eq!(outcome.record.layers.len(), 4 - sensitive.len());
        // To observe, again for those that are smoothed, to correct biases, and to rank.
        assert_eq!(searched.data.n_passes, 4);
        // With the original, no score is given twice.
        assert_eq!(searched.scorer.n_scored, report.history.len() + 1);
    }
}

#[test]
fn stored_scores_are_recalled() {
    let mut searched = Searched::new(&["b"]);
    let first = searched.run(Choices::default()).unwrap();
    searched.scorer.n_scored = 0;
    let second = searched.run(Choices::default()).unwrap();
    assert_eq!((searched.scorer.n_scored, second.n_recalled), (1, first.history.len()));
    assert_eq!(first.history, second.history);
}

#[test]
fn a_search_that_ends_early_keeps_the_best() {
    let mut searched = Searched::new(&["b"]);
    searched.scorer.patience = Some(1);
    assert_eq!(searched.run(Choices::default()).unwrap_err().message, "enough");
    for patience in 2..4 {
        let mut searched = Searched::new(&["b"]);
        searched.scorer.patience = Some(patience);
        let report = searched.run(Choices::default()).unwrap();
        assert_eq!((report.ending, report.history.len()), (Ending::Interrupted, patience - 1));
    }
    let report = Searched::new(&["b"]).run(Choices { max_trials: Some(2), ..Choices::default() }).unwrap();
    assert_eq!((report.ending, report.history.len()), (Ending::OutOfTrials, 2));
}

#[test]
fn a_failure_after_the_first_trial_is_in_the_report() {
    for fails_at in [0, 1] {
        let mut searched = Searched::new(&["b"]);
        searched.scorer.fails_at = Some(fails_at);
        let error = searched.run(Choices::default()).unwrap_err();
        assert_eq!(error.to_string(), "the scorer broke down");
        assert!(std::error::Error::source(&error).is_some_and(|cause| cause.is::<std::io::Error>()));
    }
    let mut searched = Searched::new(&["b"]);
    searched.scorer.fails_at = Some(2);
    let report = searched.run(Choices::default()).unwrap();
    assert_eq!((report.ending, report.history.len()), (Ending::Interrupted, 1));
    assert_eq!(report.failure.unwrap().to_string(), "the scorer broke down");
}

#[test]
fn groups_and_costs_reach_the_ranking() {
    let mut searched = Searched::new(&["a"]);
    let (group, d) = (searched.set(&["d", "a"]), searched.prepared.layers().id("d").unwrap());
    let groups = [group.clone()];
    let report = searched.run(Choices { groups: &groups, ..Choices::default() }).unwrap();
    // A product of a row of 2 with a matrix of 2 by 2, twice.
    assert_eq!((report.ranking.len(), report.ranking.entry_of(d).unwrap().cost), (3, 8));
    let outcome = report.outcome.as_ref().unwrap();
    assert_eq!((&outcome.rolled_back, report.cost(&outcome.rolled_back)), (&group, 8));
    let twice = [searched.set(&["a"]), searched.set(&["b", "a"])];
    let error = searched.run(Choices { groups: &twice, ..Choices::default() }).unwrap_err();
    assert_eq!(error.to_string(), "a: is in two groups of layers that move together");
}

/// Always names the same layers.
struct Stubborn(LayerSet);

impl PureStrategy for Stubborn {
    fn proposal(&self, _: &Ranking, _: &[Trial]) -> Option<LayerSet> {
        Some(self.0.clone())
    }
}

/// Fails.
struct Broken;

impl Strategy for Broken {
    fn next(&mut self, _: &Ranking, _: &[Trial]) -> Result<Option<LayerSet>, BoxError> {
        Err(std::io::Error::other("no proposal").into())
    }
}

#[test]
fn proposals_that_are_not_allowed_are_refused() {
    let complaint = |layers: &[u32]| {
        let mut searched = Searched::new(&["b"]);
        let groups = [searched.set(&["a", "c"])];
        let mut strategy =
            Stubborn(layers.iter().map(|&layer| intact8_quant::layer::LayerId(layer)).collect());
        searched
            .run_with(&mut strategy, Choices { groups: &groups, ..Choices::default() })
            .unwrap_err()
            .message
    };
    assert_eq!(complaint(&[4]), "the strategy rolls back layer 4, which is not in the search");
    assert_eq!(complaint(&[3]), "the strategy proposes the same layers again and again");
    assert_eq!(complaint(&[0]), "the strategy rolls back only a part of a, c, which move together");
    let error = Searched::new(&["b"]).run_with(&mut Broken, Choices::default()).unwrap_err();
    assert!(std::error::Error::source(&error).is_some_and(|cause| cause.is::<std::io::Error>()));
}

/// AMCT's `BinarySearchStrategy`, step by step and with its state, and the loop around it: at its end it proposes the best
/// set again, unless that was tried last.
#[derive(Default)]
struct AmctBinarySearch {
    n_asked: usize,
    bounds: Option<(i64, i64, i64)>,
    current: LayerSet,
    last_ok: LayerSet,
    is_over: bool,
}

impl Strategy for AmctBinarySearch {
    fn next(&mut self, ranking: &Ranking, history: &[Trial]) -> Result<Option<LayerSet>, BoxError> {
        self.n_asked += 1;
        if self.is_over {
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
                    self.is_over = true;
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
fn amcts_binary_search_with_its_state_visits_what_amct_visits() {
    for sensitive in [vec!["a"], vec!["b"], vec!["c"], vec!["d"], vec!["a", "c"], vec!["b", "d"]] {
        let visited = |strategy: &mut dyn Strategy| {
            let report = Searched::new(&sensitive).run_with(strategy, Choices::default()).unwrap();
            let visits: Vec<_> = report.history.iter().map(|trial| trial.rolled_back.clone()).collect();
            (visits, report.outcome.map(|outcome| outcome.rolled_back))
        };
        let mut amct = AmctBinarySearch::default();
        let (mut literal, outcome) = visited(&mut amct);
        assert!(amct.n_asked <= literal.len(), "it is asked once for each trial, and at the end");
        let (ours, our_outcome) = visited(&mut BinarySearch);
        assert_eq!(outcome, our_outcome);
        // AMCT may repeat the best at its end.
        if literal.len() > ours.len() {
            let repeated = literal.pop().unwrap();
            assert!(literal.contains(&repeated), "{sensitive:?}");
        }
        assert_eq!(literal, ours, "{sensitive:?}");
    }
}

#[test]
fn without_sensitive_layers_nothing_is_ranked() {
    let report = Searched::new(&[]).run_with(&mut BinarySearch, Choices::default()).unwrap();
    assert_eq!((report.ending, report.history.len()), (Ending::AllQuantized, 1));
    assert!(report.ranking.is_empty() && report.outcome.unwrap().rolled_back.is_empty());
}

/// Scores by the names of those of some layers that read 8 bits.
struct InBytes(Vec<&'static str>);

impl Scorer for InBytes {
    type Score = Vec<String>;

    fn score(
        &mut self,
        subject: Subject<'_>,
        _: &mut Scoring<'_, Vec<String>>,
    ) -> Result<Vec<String>, BoxError> {
        let graph = scored(subject).main();
        let is_byte = |name: &str| {
            let offset =
                graph.value_named(&format!("{name}.x.offset")).and_then(|value| graph.constant(value));
            offset.is_some_and(|offset| offset.dtype() == DType::I8)
        };
        Ok(self.0.iter().filter(|name| is_byte(name)).map(|name| (*name).to_owned()).collect())
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
            scorer: &mut InBytes(wide.clone()),
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
    let report = Searched::new(&["a", "c"]).run(Choices { ladder: &ladder, ..Choices::default() }).unwrap();
    assert!(report.untried().is_empty());
    let outcome = report.outcome.unwrap();
    assert_eq!((outcome.rolled_back.len(), outcome.rungs.len()), (2, 0));
    // Where the trials are used up on the way, the best so far is the result.
    let most = report.history.len() - 1;
    let report = Searched::new(&["a", "c"]).run(Choices {
        ladder: &ladder,
        max_trials: Some(most),
        ..Choices::default()
    });
    let report = report.unwrap();
    assert_eq!((report.ending, report.history.len()), (Ending::OutOfTrials, most));
    assert_eq!(report.outcome.unwrap().rolled_back.len(), 2);
}

/// Layers in a row, some of which also read what the one before the last has computed.
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
    /// So it is enough to calibrate once, and no layer moves because another does. Smoothing is left out: it divides
    /// and multiplies in the float model, which moves the last bits of what later layers read.
    #[test]
    fn the_record_of_a_trial_is_a_part_of_the_record_of_all(
        weights in prop::collection::vec(prop::array::uniform4(-2.0f32..2.0), 1..6),
        skips in prop::array::uniform5(any::<bool>()),
        kept: u16,
        joint_quant: bool,
    ) {
        let model = network(&weights, &skips);
        let plain = |config| QuantConfig { auto_balance: false, joint_quant, ..config };
        let all = record(&model, plain);
        let names: Vec<String> = all.layers.keys().cloned().collect();
        let rolled_back = names.iter().enumerate().filter(|(idx, _)| kept >> idx & 1 == 0);
        let rolled_back: Vec<String> = rolled_back.map(|(_, name)| name.clone()).collect();
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
    let result = Searched::new(&["b"]).run(Choices::default()).unwrap().outcome.unwrap().record;
    assert_eq!(result.layers.keys().collect::<Vec<_>>(), ["a", "c", "d"]);
    let is_same = |(layer, entry): (&String, &intact8_quant::LayerRecord)| {
        intact8_quant::LayerRecord { prepared: false, ..entry.clone() } == all.layers[layer]
    };
    assert!(result.layers.iter().all(is_same));
}

/// Layers in two subgraphs that compute their weight from one constant, which both capture, each get a copy. Without that they
/// would be layers of two activations, one of which no node computes.
#[test]
fn a_weight_that_two_subgraphs_share_is_no_activation() {
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
fn the_closest_trial_is_the_outcome_if_the_options_ask_for_it() {
    let all = ["a", "b", "c", "d"];
    let missed = Searched::new(&all).run(Choices::default()).unwrap();
    assert!(missed.outcome.is_none() && !missed.is_met());
    let kept = Searched::new(&all).run(Choices { keep_best: true, ..Choices::default() }).unwrap();
    assert_eq!(kept.history, missed.history);
    let closest = &kept.history[kept.closest];
    let least = kept.history.iter().map(|trial| trial.verdict.loss).fold(f64::INFINITY, f64::min);
    assert_eq!((closest.verdict.loss, closest.verdict.satisfied), (least, false));
    assert!(!kept.is_met());
    assert_eq!(kept.outcome.unwrap().rolled_back, closest.rolled_back);
}

#[test]
fn a_saved_model_that_misses_is_no_success() {
    let mut searched = Searched::new(&["b"]);
    let mut report = searched.run(Choices::default()).unwrap();
    assert!(report.is_met());
    let good = report.outcome.as_ref().unwrap().quantized.fake_quant().clone();
    let again = |sensitive: &[&'static str], patience: Option<usize>| {
        let (mut scorer, mut judge) =
            (InInt8 { patience, ..InInt8::default() }, Sensitive(sensitive.to_vec()));
        let (data, observer) = (&mut Data::default(), &mut ());
        let mut roles = Roles { data, scorer: &mut scorer, judge: &mut judge, observer };
        let saved = SavedModel::FakeQuant(&good);
        rescore("deploy", Path::new("m.onnx"), saved, &mut roles, (&vec![], None)).unwrap()
    };
    for (sensitive, is_met) in [(vec!["b"], true), (vec!["b", "c"], false)] {
        report.rescored = again(&sensitive, None).into_iter().collect();
        assert_eq!((report.is_met(), report.final_score()), (is_met, Some(&in_int8(good.main()))));
    }
    assert!(again(&["b"], Some(0)).is_none());
}
