//! The loop.

use crate::calibrate::calibrate;
use crate::evaluator::{Candidate, Evaluator, Interruption, Stage, Verdict, failed};
use crate::ladder::{Calibrated, Rung};
use crate::outcome::{Ending, Quantized, Report, Rungs, Trial};
use crate::prepared::{changed_layers, prepared};
use crate::rank::{ReplayTap, rank};
use crate::rank_output::OutputRanking;
use crate::ranking::Ranking;
use crate::sensitivity::{CosineSimilarity, Scope, Sensitivity};
use crate::strategy::{BinarySearch, Strategy, trials_ahead};
use intact8_ir::{Error, ErrorKind, Model, Result};
use intact8_quant::{QuantConfig, Record, fake_quant};
use std::collections::{BTreeMap, BTreeSet};

/// How to search.
#[derive(Clone, Copy)]
pub struct SearchOptions<'a> {
    /// Names the layers to roll back.
    pub strategy: &'a dyn Strategy,
    /// Ranks them.
    pub sensitivity: &'a dyn Sensitivity,
    /// How many trials there may be; the one with every layer quantized is the first and always made.
    pub max_trials: Option<usize>,
    /// What is tried with layers before they are left in float, in that order; see [`LADDER`](crate::LADDER).
    pub ladder: &'a [&'static Rung],
    /// Layers that are rolled back together or not at all. Names of layers that are not quantized are ignored.
    pub groups: &'a [Vec<String>],
    /// What it costs to leave a layer in float, in multiply-accumulates; 0 for layers that are not named.
    pub costs: Option<&'a BTreeMap<String, u64>>,
    /// Whether the outcome is the trial that came closest if none satisfies, instead of none.
    pub keep_best: bool,
    /// Is shown every layer's replay. If there is one, the layers are ranked even if quantizing all of them satisfies.
    pub replays: Option<ReplayTap<'a>>,
}

impl Default for SearchOptions<'_> {
    /// The original tool's: binary search over the cosine similarity, to its end.
    fn default() -> Self {
        SearchOptions {
            strategy: &BinarySearch,
            sensitivity: &CosineSimilarity,
            max_trials: None,
            ladder: &[],
            groups: &[],
            costs: None,
            keep_best: false,
            replays: None,
        }
    }
}

/// Finds which layers must stay float so that the evaluator is satisfied: scores the original, quantizes everything
/// that `config` enables, and, if that is not good enough, ranks the layers and rolls back what the strategy names.
///
/// The model itself is not changed. That the target can't be met is a result, not an error; so is an interruption,
/// once the trial with every layer quantized is over.
pub fn search<E: Evaluator>(
    model: &Model,
    config: &QuantConfig,
    evaluator: &mut E,
    options: &SearchOptions<'_>,
) -> Result<Report<E::Metric>> {
    let prepared = prepared(model, config)?;
    config.check(&prepared)?;
    let layers: Vec<String> = config.enabled(&prepared).into_iter().map(|(layer, _)| layer.name).collect();
    if layers.is_empty() {
        return Err(Error::invalid_config("no layer is to be quantized; enable one"));
    }
    let groups = checked(options.groups, &layers)?;

    let original = match evaluator.recall(Candidate::Original) {
        Some(original) => original,
        None => {
            evaluator.announce(Stage::Original);
            let original = evaluator.evaluate(model).map_err(failed)?;
            evaluator.scored(Candidate::Original, &original).map_err(failed)?;
            original
        }
    };
    let itself = judge(evaluator, &original, &original)?;
    if !itself.satisfied {
        let message = format!(
            "the original model misses the target itself, with a loss of {}; check the target",
            itself.loss
        );
        return Err(Error::evaluator(message));
    }

    evaluator.announce(Stage::Calibration);
    let record = calibrate(&prepared, config, evaluator)?;
    let report = Report {
        original,
        layers,
        ranking: Ranking::default(),
        history: vec![],
        metrics: vec![],
        n_recalled: 0,
        ending: Ending::Finished,
        closest: 0,
        closest_config: config.clone(),
        outcome: None,
        rescored: vec![],
    };
    let climbed = BTreeMap::new();
    let mut search = Search { prepared, config, record, climbed, groups, evaluator, options, report };
    search.report.ending = search.run()?;
    (search.report.closest, search.report.closest_config) = search.closest();
    search.report.outcome = search.outcome()?;
    if let Some(quantized) = &mut search.report.outcome {
        for layer in changed_layers(model, &search.prepared, config)? {
            quantized.record.layers.entry(layer).and_modify(|entry| entry.prepared = true);
        }
    }
    Ok(search.report)
}

pub(crate) struct Search<'a, E: Evaluator> {
    pub(crate) prepared: Model,
    pub(crate) config: &'a QuantConfig,
    /// Of all layers; a layer's range does not depend on which others are quantized.
    record: Record,
    /// What the rungs of the ladder make of layers, as far as they have been reached.
    pub(crate) climbed: BTreeMap<&'static str, Calibrated>,
    groups: Vec<Vec<String>>,
    pub(crate) evaluator: &'a mut E,
    pub(crate) options: &'a SearchOptions<'a>,
    pub(crate) report: Report<E::Metric>,
}

impl<E: Evaluator> Search<'_, E> {
    /// Makes trials until there is a reason not to.
    fn run(&mut self) -> Result<Ending> {
        match self.follow_the_strategy() {
            Ok(Ending::Finished) => self.climb(),
            ending => ending,
        }
        .or_else(|error| match error.kind {
            ErrorKind::Cancelled if !self.report.history.is_empty() => {
                Ok(self.interruption().unwrap_or(Ending::Interrupted))
            }
            _ => Err(error),
        })
    }

    fn follow_the_strategy(&mut self) -> Result<Ending> {
        let mut rolled_back = Vec::new();
        loop {
            match self.step(rolled_back)? {
                Next::Trial(next) => rolled_back = next,
                Next::End(ending) => return Ok(ending),
            }
        }
    }

    /// Makes one trial, and says what comes next.
    fn step(&mut self, rolled_back: Vec<String>) -> Result<Next> {
        self.trial(rolled_back, Rungs::new())?;
        let [first] = &self.report.history[..] else { return self.next() };
        let all_satisfy = first.verdict.satisfied;
        if !all_satisfy || self.options.replays.is_some() {
            self.report.ranking = self.ranking()?;
        }
        if all_satisfy { Ok(Next::End(Ending::AllQuantized)) } else { self.next() }
    }

    /// Scores a candidate, and judges it.
    pub(crate) fn trial(&mut self, rolled_back: Vec<String>, rungs: Rungs) -> Result<()> {
        let candidate = Candidate::RolledBack { layers: &rolled_back, rungs: &rungs };
        let metric = match self.evaluator.recall(candidate) {
            Some(metric) => {
                self.report.n_recalled += 1;
                metric
            }
            None => self.scored(&rolled_back, &rungs)?,
        };
        let verdict = judge(self.evaluator, &self.report.original, &metric)?;
        self.report.history.push(Trial { rolled_back, rungs, verdict });
        self.report.metrics.push(metric);
        Ok(())
    }

    fn scored(&mut self, rolled_back: &[String], rungs: &Rungs) -> Result<E::Metric> {
        let Report { history, layers, ranking, .. } = &self.report;
        let n_ahead = match ranking.is_empty() {
            true => 0,
            // The trial at hand is one of those.
            false => trials_ahead(self.options.strategy, ranking, history).saturating_sub(1),
        };
        let (index, n_layers) = (history.len(), layers.len());
        let (config, record) = self.of_trial(rolled_back, rungs);
        let mut quantized = self.prepared.clone();
        fake_quant(&config, &record).run(&mut quantized)?;
        self.evaluator.announce(Stage::Trial { index, rolled_back, n_layers, n_ahead });
        let metric = self.evaluator.evaluate(&quantized).map_err(failed)?;
        let candidate = Candidate::RolledBack { layers: rolled_back, rungs };
        self.evaluator.scored(candidate, &metric).map_err(failed)?;
        Ok(metric)
    }

    /// The configuration of a trial, and the record of the layers that it enables.
    fn of_trial(&self, rolled_back: &[String], rungs: &Rungs) -> (QuantConfig, Record) {
        let mut config = self.config.rolled_back(rolled_back);
        let mut record = self.record.clone();
        record.layers.retain(|layer, _| !rolled_back.contains(layer));
        for (layer, rung) in rungs {
            let climbed = &self.climbed[rung.as_str()];
            config.layers.insert(layer.clone(), climbed.config.layers[layer].clone());
            record.layers.insert(layer.clone(), climbed.record.layers[layer].clone());
        }
        (config, record)
    }

    /// All layers, ranked.
    fn ranking(&mut self) -> Result<Ranking> {
        self.evaluator.announce(Stage::Ranking);
        let (sensitivity, nobody): (_, ReplayTap<'_>) = (self.options.sensitivity, &|_| Ok(()));
        let is_by_layer = sensitivity.scope() == Scope::Layer;
        let tap = self.options.replays;
        let mut by_layer = Ranking::default();
        if is_by_layer || tap.is_some() {
            let tap = tap.unwrap_or(nobody);
            by_layer = rank(&self.prepared, self.config, &self.record, self.evaluator, sensitivity, tap)?;
        }
        if is_by_layer {
            return Ok(self.priced(by_layer).grouped(&self.groups));
        }
        self.ranking_by_output(None)
    }

    /// All places ranked alone, or those that a trial has left in int8 beside each other.
    fn ranking_by_output(&mut self, beside: Option<&[String]>) -> Result<Ranking> {
        let places = self.places();
        let output = OutputRanking {
            model: &self.prepared,
            config: self.config,
            record: &self.record,
            sensitivity: self.options.sensitivity,
        };
        let ranking = match beside {
            Some(rolled_back) => output.beside(self.evaluator, &places, rolled_back),
            None => output.alone(self.evaluator, &places),
        };
        Ok(self.priced(ranking?))
    }

    /// What can be rolled back, in the model's order.
    fn places(&self) -> Vec<Vec<String>> {
        let mut places: Vec<Vec<String>> = Vec::new();
        for layer in &self.report.layers {
            let group = self.groups.iter().find(|group| group.contains(layer));
            match group {
                Some(group) if group[0] != *layer => {}
                Some(group) => places.push(group.clone()),
                None => places.push(vec![layer.clone()]),
            }
        }
        places
    }

    fn priced(&self, mut ranking: Ranking) -> Ranking {
        let cost =
            |layer: &String| self.options.costs.and_then(|costs| costs.get(layer)).copied().unwrap_or(0);
        ranking.0.iter_mut().for_each(|place| place.cost = place.layers.iter().map(cost).sum());
        Ranking::of(ranking.0)
    }

    /// What the strategy wants next, if there is still time for it.
    fn next(&mut self) -> Result<Next> {
        let strategy = self.options.strategy;
        let last = self.report.history.last().expect("there is at least the first trial");
        let next = if strategy.reranks() && !last.verdict.satisfied {
            let rolled_back = last.rolled_back.clone();
            self.evaluator.announce(Stage::Ranking);
            let latest = self.ranking_by_output(Some(&rolled_back))?;
            strategy.next(&latest, &self.report.history)
        } else {
            strategy.next(&self.report.ranking, &self.report.history)
        };
        let Some(next) = next else { return Ok(Next::End(Ending::Finished)) };
        self.check(&next)?;
        if next.len() >= self.report.layers.len() {
            // With every layer in float there is nothing to produce.
            return Ok(Next::End(Ending::Finished));
        }
        Ok(self.reason_to_end().map_or(Next::Trial(next), Next::End))
    }

    /// Why there may be no further trial.
    pub(crate) fn reason_to_end(&mut self) -> Option<Ending> {
        let is_over = self.options.max_trials.is_some_and(|most| self.report.history.len() >= most);
        if is_over { Some(Ending::OutOfTrials) } else { self.interruption() }
    }

    /// Checks what a strategy proposes.
    fn check(&self, next: &[String]) -> Result<()> {
        if let Some(unknown) = next.iter().find(|layer| !self.report.layers.contains(layer)) {
            return Err(Error::evaluator(format!(
                "the strategy rolls back {unknown:?}, which is no layer of the search"
            )));
        }
        let as_set = |layers: &[String]| layers.iter().cloned().collect::<BTreeSet<String>>();
        let proposed = as_set(next);
        if proposed.len() != next.len() {
            return Err(Error::evaluator("the strategy names a layer twice"));
        }
        if self.report.history.iter().any(|trial| as_set(&trial.rolled_back) == proposed) {
            return Err(Error::evaluator("the strategy proposed the same layers twice"));
        }
        let is_torn = |group: &&Vec<String>| {
            let n_in = group.iter().filter(|layer| proposed.contains(*layer)).count();
            n_in != 0 && n_in != group.len()
        };
        match self.groups.iter().find(is_torn) {
            Some(group) => Err(Error::evaluator(format!(
                "the strategy rolls back only a part of {}, which move together",
                group.join(", ")
            ))),
            None => Ok(()),
        }
    }

    fn interruption(&mut self) -> Option<Ending> {
        let ending = |interruption| match interruption {
            Interruption::OutOfTime => Ending::OutOfTime,
            Interruption::Cancelled => Ending::Interrupted,
        };
        self.evaluator.interruption().map(ending)
    }

    /// The trial that came closest, by its position, and its configuration.
    fn closest(&mut self) -> (usize, QuantConfig) {
        let Report { original, history, metrics, .. } = &self.report;
        let trials = history.iter().zip(metrics).enumerate();
        let distances = trials.map(|(idx, (trial, metric))| {
            let shortfall = self.evaluator.shortfall(original, metric, trial.verdict);
            (shortfall, trial.rolled_back.len(), idx)
        });
        let closer =
            |a: &(f64, usize, usize), b: &(f64, usize, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        let closest = distances.min_by(closer).map_or(0, |(_, _, idx)| idx);
        let Trial { rolled_back, rungs, .. } = &history[closest];
        (closest, self.of_trial(rolled_back, rungs).0)
    }

    /// The best trial's model.
    fn outcome(&self) -> Result<Option<Quantized<E::Metric>>> {
        let closest = || self.options.keep_best.then_some(self.report.closest);
        let Some(best) = self.report.best().or_else(closest) else { return Ok(None) };
        let Trial { rolled_back, rungs, .. } = self.report.history[best].clone();
        let metric = self.report.metrics[best].clone();
        let (config, record) = self.of_trial(&rolled_back, &rungs);
        let mut simulation = self.prepared.clone();
        fake_quant(&config, &record).run(&mut simulation)?;
        Ok(Some(Quantized { metric, rolled_back, rungs, config, record, fake_quant: simulation }))
    }
}

/// What comes after a trial.
enum Next {
    Trial(Vec<String>),
    End(Ending),
}

pub(crate) fn judge<E: Evaluator>(
    evaluator: &mut E,
    original: &E::Metric,
    quantized: &E::Metric,
) -> Result<Verdict> {
    let verdict = evaluator.metric_eval(original, quantized).map_err(failed)?;
    if verdict.loss.is_nan() {
        return Err(Error::evaluator("the loss is not a number; check what the evaluator returns"));
    }
    Ok(verdict)
}

/// The groups without layers that are not in the search; no layer may be in two.
fn checked(groups: &[Vec<String>], layers: &[String]) -> Result<Vec<Vec<String>>> {
    let mut seen = BTreeSet::new();
    let mut kept = Vec::new();
    for group in groups {
        let group: Vec<String> = layers.iter().filter(|layer| group.contains(layer)).cloned().collect();
        if let Some(twice) = group.iter().find(|layer| !seen.insert((*layer).clone())) {
            return Err(Error::invalid_config("is in two groups of layers that move together").at(twice));
        }
        kept.extend((!group.is_empty()).then_some(group));
    }
    Ok(kept)
}
