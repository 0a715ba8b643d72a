//! Searches over a made-up network, with an evaluator that knows which layers are guilty.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use intact8_ir::{DType, Error, Graph, Model, Result, Tensor};
use intact8_quant::QuantConfig;
use intact8_search::{
    BinarySearch, Candidate, CosineSimilarity, Ending, Evaluator, EvaluatorError, LADDER, Minimal, Ranking,
    Report, Rung, SearchOptions, Strategy, Trial, Verdict, calibrate, rescore, search,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

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
        let made_by = graph.operand(id, 0).map(|value| graph.node(value.node));
        made_by.and_then(|node| node.as_op()).is_some_and(|op| op.name == "DequantizeLinear")
    };
    let ids = graph.topo().into_iter().filter(|&id| is_quantized(id));
    ids.map(|id| graph.node(id).name.clone()).collect()
}

/// Satisfied as long as the guilty layers are in float. A score is the layers in int8.
#[derive(Default)]
struct Judge {
    guilty: Vec<&'static str>,
    /// How many scores it gives before it is cancelled.
    patience: Option<usize>,
    n_scored: usize,
    n_passes: usize,
    memory: BTreeMap<Vec<String>, Vec<String>>,
}

impl Evaluator for Judge {
    type Metric = Vec<String>;

    fn calibration(
        &mut self,
        batch_num: usize,
        forward: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), EvaluatorError> {
        self.n_passes += 1;
        for _ in 0..batch_num {
            forward(&[Tensor::new(&[2, 2], vec![1.0f32, -1.5, 0.5, 2.0])])?;
        }
        Ok(())
    }

    fn evaluate(&mut self, model: &Model) -> Result<Vec<String>, EvaluatorError> {
        if self.patience.is_some_and(|patience| self.n_scored >= patience) {
            return Err(Error::cancelled("enough").into());
        }
        self.n_scored += 1;
        Ok(in_int8(model.main()))
    }

    fn metric_eval(&mut self, _: &Vec<String>, in_int8: &Vec<String>) -> Result<Verdict, EvaluatorError> {
        let n_guilty = self.guilty.iter().filter(|layer| in_int8.iter().any(|other| other == *layer)).count();
        Ok(Verdict { satisfied: n_guilty == 0, loss: n_guilty as f64 })
    }

    fn recall(&mut self, candidate: Candidate<'_>) -> Option<Vec<String>> {
        match candidate {
            Candidate::Original => None,
            Candidate::RolledBack { layers, .. } => self.memory.get(layers).cloned(),
        }
    }

    fn scored(&mut self, candidate: Candidate<'_>, metric: &Vec<String>) -> Result<(), EvaluatorError> {
        if let Candidate::RolledBack { layers, .. } = candidate {
            self.memory.insert(layers.to_vec(), metric.clone());
        }
        Ok(())
    }
}

fn searched(judge: &mut Judge, options: &SearchOptions<'_>) -> Result<Report<Vec<String>>> {
    let model = model();
    search(&model, &QuantConfig::for_model(&model), judge, options)
}

fn minimal<'a>() -> SearchOptions<'a> {
    SearchOptions { strategy: &Minimal, ..SearchOptions::default() }
}

#[test]
fn the_guilty_stay_float_and_all_others_do_not() {
    for guilty in [vec!["a"], vec!["d"], vec!["a", "c"], vec!["b", "c", "d"]] {
        let mut judge = Judge { guilty: guilty.clone(), ..Judge::default() };
        let report = searched(&mut judge, &minimal()).unwrap();
        assert!(report.untried().is_empty());
        let outcome = report.outcome.unwrap();
        let mut rolled_back = outcome.rolled_back;
        rolled_back.sort();
        assert_eq!(rolled_back, guilty);
        assert!(in_int8(outcome.fake_quant.main()).iter().all(|layer| !rolled_back.contains(layer)));
        assert_eq!(outcome.record.layers.len(), 4 - guilty.len());
        // To calibrate, again for those that are balanced, to correct biases, and to rank.
        assert_eq!(judge.n_passes, 4);
        // With the original, no score is given twice.
        assert_eq!(judge.n_scored, report.history.len() + 1);
    }
}

#[test]
fn what_was_scored_before_is_recalled() {
    let mut judge = Judge { guilty: vec!["b"], ..Judge::default() };
    let first = searched(&mut judge, &minimal()).unwrap();
    judge.n_scored = 0;
    let second = searched(&mut judge, &minimal()).unwrap();
    assert_eq!((judge.n_scored, second.n_recalled), (1, first.history.len()));
    assert_eq!(first.history, second.history);
}

#[test]
fn an_end_before_its_time_keeps_the_best() {
    let mut judge = Judge { guilty: vec!["b"], patience: Some(1), ..Judge::default() };
    let error = searched(&mut judge, &minimal()).unwrap_err();
    assert_eq!(error.message, "enough");
    for patience in 2..4 {
        let mut judge = Judge { guilty: vec!["b"], patience: Some(patience), ..Judge::default() };
        let report = searched(&mut judge, &minimal()).unwrap();
        assert_eq!((report.ending, report.history.len()), (Ending::Interrupted, patience - 1));
    }
    let mut judge = Judge { guilty: vec!["b"], ..Judge::default() };
    let report = searched(&mut judge, &SearchOptions { max_trials: Some(2), ..minimal() }).unwrap();
    assert_eq!((report.ending, report.history.len()), (Ending::OutOfTrials, 2));
}

#[test]
fn groups_and_costs_reach_the_ranking() {
    let groups = [vec!["d".to_owned(), "a".to_owned()]];
    let costs = BTreeMap::from([("a".to_owned(), 5), ("d".to_owned(), 7)]);
    let mut judge = Judge { guilty: vec!["a"], ..Judge::default() };
    let options = SearchOptions { groups: &groups, costs: Some(&costs), ..minimal() };
    let report = searched(&mut judge, &options).unwrap();
    assert_eq!((report.ranking.len(), report.ranking.place_of("d").unwrap().cost), (3, 12));
    let outcome = report.outcome.as_ref().unwrap();
    assert_eq!((outcome.rolled_back.len(), report.cost(&outcome.rolled_back)), (2, 12));
    let twice = [vec!["a".to_owned()], vec!["b".to_owned(), "a".to_owned()]];
    let error = searched(&mut judge, &SearchOptions { groups: &twice, ..minimal() }).unwrap_err();
    assert_eq!(error.to_string(), "a: is in two groups of layers that move together");
}

/// Always names the same layers.
struct Stubborn(&'static [&'static str]);

impl Strategy for Stubborn {
    fn next(&self, _: &Ranking, _: &[Trial]) -> Option<Vec<String>> {
        Some(self.0.iter().map(|layer| (*layer).to_owned()).collect())
    }
}

#[test]
fn strategies_that_misbehave() {
    let groups = [vec!["a".to_owned(), "c".to_owned()]];
    let complaint = |layers: &'static [&'static str]| {
        let mut judge = Judge { guilty: vec!["b"], ..Judge::default() };
        let options = SearchOptions {
            strategy: &Stubborn(layers),
            sensitivity: &CosineSimilarity,
            groups: &groups,
            ..SearchOptions::default()
        };
        searched(&mut judge, &options).unwrap_err().message
    };
    assert_eq!(complaint(&["e"]), "the strategy rolls back \"e\", which is no layer of the search");
    assert_eq!(complaint(&["d", "d"]), "the strategy names a layer twice");
    assert_eq!(complaint(&["d"]), "the strategy proposed the same layers twice");
    assert_eq!(complaint(&["a"]), "the strategy rolls back only a part of a, c, which move together");
}

#[test]
fn without_guilty_layers_nothing_is_ranked() {
    let mut judge = Judge::default();
    let options = SearchOptions { strategy: &BinarySearch, ..SearchOptions::default() };
    let report = searched(&mut judge, &options).unwrap();
    assert_eq!((report.ending, report.history.len()), (Ending::AllQuantized, 1));
    assert!(report.ranking.is_empty() && report.outcome.unwrap().rolled_back.is_empty());
}

/// Satisfied if the named layers read 16 bits, or are in float.
struct Narrow(Vec<&'static str>);

impl Evaluator for Narrow {
    type Metric = Vec<String>;

    fn calibration(
        &mut self,
        batch_num: usize,
        forward: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), EvaluatorError> {
        Judge::default().calibration(batch_num, forward)
    }

    fn evaluate(&mut self, model: &Model) -> Result<Vec<String>, EvaluatorError> {
        let is_byte = |name: &str| {
            let graph = model.main();
            let offset =
                graph.value_named(&format!("{name}.x.offset")).and_then(|value| graph.constant(value));
            offset.is_some_and(|offset| offset.dtype() == DType::I8)
        };
        Ok(self.0.iter().filter(|name| is_byte(name)).map(|name| (*name).to_owned()).collect())
    }

    fn metric_eval(&mut self, _: &Vec<String>, narrow: &Vec<String>) -> Result<Verdict, EvaluatorError> {
        Ok(Verdict { satisfied: narrow.is_empty(), loss: narrow.len() as f64 })
    }
}

#[test]
fn layers_stay_on_the_first_rung_that_holds_them() {
    let ladder: Vec<&Rung> = LADDER.iter().collect();
    for wide in [vec!["b"], vec!["a", "d"], vec!["a", "b", "c", "d"]] {
        let model = model();
        let options = SearchOptions { ladder: &ladder, ..minimal() };
        let report =
            search(&model, &QuantConfig::for_model(&model), &mut Narrow(wide.clone()), &options).unwrap();
        assert!(report.untried().is_empty() && report.ending == Ending::Finished);
        let outcome = report.outcome.unwrap();
        assert!(outcome.rolled_back.is_empty());
        let expected: Vec<(String, String)> =
            wide.iter().map(|layer| ((*layer).to_owned(), "int16".to_owned())).collect();
        assert_eq!(outcome.rungs.into_iter().collect::<Vec<_>>(), expected);
        for (layer, config) in &outcome.config.layers {
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
fn what_no_rung_holds_stays_in_float() {
    let ladder: Vec<&Rung> = LADDER.iter().collect();
    let mut judge = Judge { guilty: vec!["a", "c"], ..Judge::default() };
    let report = searched(&mut judge, &SearchOptions { ladder: &ladder, ..minimal() }).unwrap();
    assert!(report.untried().is_empty());
    let outcome = report.outcome.unwrap();
    assert_eq!((outcome.rolled_back.len(), outcome.rungs.len()), (2, 0));
    // Where the trials are used up on the way, the best so far is the result.
    let most = report.history.len() - 1;
    let mut judge = Judge { guilty: vec!["a", "c"], ..Judge::default() };
    let options = SearchOptions { ladder: &ladder, max_trials: Some(most), ..minimal() };
    let report = searched(&mut judge, &options).unwrap();
    assert_eq!((report.ending, report.history.len()), (Ending::OutOfTrials, most));
    assert_eq!(report.outcome.unwrap().rolled_back.len(), 2);
}

/// Layers in a row, some of which also read what the one before the last has given.
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
    /// So it is enough to calibrate once, and no layer moves because another does. Balancing is left out: it divides
    /// and multiplies in the float model, which moves the last bits of what later layers see.
    #[test]
    fn the_record_of_a_trial_is_a_part_of_the_record_of_all(
        weights in prop::collection::vec(prop::array::uniform4(-2.0f32..2.0), 1..6),
        skips in prop::array::uniform5(any::<bool>()),
        kept: u16,
        joint_quant: bool,
    ) {
        let model = network(&weights, &skips);
        let config = QuantConfig { auto_balance: false, joint_quant, ..QuantConfig::for_model(&model) };
        let names: Vec<&String> = config.layers.keys().collect();
        let rolled_back = names.iter().enumerate().filter(|(idx, _)| kept >> idx & 1 == 0);
        let rolled_back: Vec<String> = rolled_back.map(|(_, name)| (*name).clone()).collect();
        let all = calibrate(&model, &config, &mut Judge::default()).unwrap();
        let trial = calibrate(&model, &config.rolled_back(&rolled_back), &mut Judge::default()).unwrap();
        prop_assert_eq!(trial.layers.len(), names.len() - rolled_back.len());
        for (layer, entry) in &trial.layers {
            prop_assert_eq!(entry, &all.layers[layer], "{} without {:?}", layer, rolled_back);
        }
    }
}

#[test]
fn the_record_of_the_result_is_a_part_of_the_record_of_all() {
    let model = model();
    let all = calibrate(&model, &QuantConfig::for_model(&model), &mut Judge::default()).unwrap();
    let mut judge = Judge { guilty: vec!["b"], ..Judge::default() };
    let record = searched(&mut judge, &minimal()).unwrap().outcome.unwrap().record;
    assert_eq!(record.layers.keys().collect::<Vec<_>>(), ["a", "c", "d"]);
    assert!(record.layers.iter().all(|(layer, entry)| all.layers[layer] == *entry));
}

/// Layers in two subgraphs that make their weight of one constant, which both capture, get it each for themselves. Without that
/// they are layers of two activations, one of which no node ever gives.
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
  %u.t{n} = MatMul(%z.t{n}, %w.t{n}) @behind{n}
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
    let prepared = intact8_search::prepared(&model, &QuantConfig::default()).unwrap();
    let config = QuantConfig::for_model(&prepared);
    assert_eq!(config.layers.keys().collect::<Vec<_>>(), ["behind1", "behind2", "layer1", "layer2"]);
    let mut config = QuantConfig::default();
    config.layers.insert("behind1".to_owned(), intact8_quant::LayerConfig::default());
    assert_eq!(
        config.check(&model).unwrap_err().to_string(),
        "layer \"behind1\": can't be quantized: input 1 is a constant that several subgraphs read; remove it"
    );
}

#[test]
fn what_comes_closest_is_the_outcome_if_that_is_wanted() {
    let misled = || Judge { guilty: vec!["a", "b", "c", "d"], ..Judge::default() };
    let missed = searched(&mut misled(), &minimal()).unwrap();
    assert!(missed.outcome.is_none() && !missed.is_met());
    let kept = searched(&mut misled(), &SearchOptions { keep_best: true, ..minimal() }).unwrap();
    assert_eq!(kept.history, missed.history);
    let closest = &kept.history[kept.closest];
    let least = kept.history.iter().map(|trial| trial.verdict.loss).fold(f64::INFINITY, f64::min);
    assert_eq!((closest.verdict.loss, closest.verdict.satisfied), (least, false));
    assert!(!kept.is_met());
    assert_eq!(kept.outcome.unwrap().rolled_back, closest.rolled_back);
}

#[test]
fn a_saved_model_that_misses_is_no_success() {
    let mut judge = Judge { guilty: vec!["b"], ..Judge::default() };
    let mut report = searched(&mut judge, &minimal()).unwrap();
    assert!(report.is_met());
    let good = report.outcome.as_ref().unwrap().fake_quant.clone();
    for (guilty, is_met) in [(vec!["b"], true), (vec!["b", "c"], false)] {
        judge.guilty = guilty;
        let again = rescore("deploy", &good, &mut judge, &report.original).unwrap();
        report.rescored = again.into_iter().collect();
        assert_eq!((report.is_met(), report.final_metric()), (is_met, Some(&in_int8(good.main()))));
    }
    judge.patience = Some(0);
    assert!(rescore("deploy", &good, &mut judge, &report.original).unwrap().is_none());
}
