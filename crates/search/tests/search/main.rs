//! Searches over a small network, with a scorer that returns the layers in int8 and a judge that knows the sensitive layers.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod records;
mod rungs;
mod searches;
mod strategies;

use intact8_calibrate::{Batches, BoxError, CalibrationData, FloatModel, calibrate, unreached_layers};
use intact8_interp::{FoldConstants, Interpreter};
use intact8_ir::{DType, Error, Graph, Model, PassObserver, Result, Tensor};
use intact8_quant::layer::{LayerId, LayerSet};
use intact8_quant::{DeployFormat, Emission, Preparation, Prepared, QuantConfig, Record};
use intact8_search::ladder::{LADDER, Rung};
use intact8_search::strategy::{BinarySearch, Minimal, PureStrategy};
use intact8_search::{
    Candidate, Ending, Judge, Ranking, Report, Roles, SavedModel, Scorer, Scoring, SearchObserver,
    SearchOptions, Strategy, Subject, Trial, Verdict, rescore, roll_back_all, search,
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

    fn n_batches(&self) -> Option<usize> {
        Some(1)
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
        Subject::Saved { model: SavedModel::FakeQuant { model, .. }, .. } => model,
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
    time_lost: BTreeMap<LayerId, f64>,
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
        TestOptions { max_trials, ladder, groups, keep_best, time_lost }: TestOptions<'_>,
    ) -> Result<Report<Vec<String>>> {
        let runtime = Interpreter::default();
        let float = FloatModel::new(&self.prepared, &runtime)?;
        let config = QuantConfig::for_model(self.prepared.model());
        let options = SearchOptions {
            max_trials,
            ladder,
            groups,
            keep_best,
            time_lost: &time_lost,
            ..SearchOptions::new(strategy)
        };
        let roles = Roles {
            data: &mut self.data,
            scorer: &mut self.scorer,
            judge: &mut self.judge,
            observer: &mut self.store,
        };
        search(&float, &self.model, &config, roles, options)
    }
}

/// The record of a model under a configuration, with only the weights of layers that see nothing but zeros.
fn record(model: &Model, config: impl FnOnce(QuantConfig) -> QuantConfig) -> Record {
    let (prepared, runtime) = (prepared(model), Interpreter::default());
    let float = FloatModel::new(&prepared, &runtime).unwrap();
    let mut config = config(QuantConfig::for_model(prepared.model()));
    let unreached =
        unreached_layers(&float, &config, &mut Batches::new(&mut Data::default(), 1, &mut ())).unwrap();
    config.leave_weights(&unreached, |_| String::new());
    calibrate(&float, &config, &mut Data::default(), &mut ()).unwrap().into_record()
}
