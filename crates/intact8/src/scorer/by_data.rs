//! The scorer by metrics over a data set; our interpreter runs the models.

use super::activation_cache::{ActivationCache, BatchResult, CachedValues};
use super::batch_size::fit_to_cache;
use super::fingerprint::Fingerprint;
use super::sample_order::{estimate, worst_first};
use super::{Effort, Score};
use crate::chance::Chance;
use crate::data::{
    Batch, Better, DataSet, Feed, Metric, Noise, Rows, Tally, Truth, labels, noise, noise_of_mean, numbers,
};
use intact8_calibrate::BoxError;
use intact8_infer::InferShapes;
use intact8_interp::{Interpreter, Session};
use intact8_ir::{Error, Model, Pass, Result, Tensor, Type};
use intact8_quant::passes::ComputeInF32;
use intact8_search::{SavedModel, Scorer, Scoring, Subject};
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// A scorer by metrics over a data set; the score has one value for each metric.
pub struct DataScorer {
    /// The samples.
    pub evaluation: Feed,
    /// The metrics.
    pub metrics: Vec<Metric>,
    /// The memory of the activation cache in bytes, by default 256 MiB; 0 turns it off. With it, a trial computes only the part of
    /// the model that differs from an earlier trial; the scores are the same bit for bit. The first trial stores nothing, since
    /// it is usually the last.
    pub cache_memory: usize,
    /// The labels of each sample; empty if no metric needs them.
    labels: Rows<i64>,
    targets: Targets,
    /// The dimension of the first output that counts samples.
    output_axis: Option<usize>,
    cache: ActivationCache,
    original: OriginalModel,
    /// The complete scores of models, by the fingerprints of their outputs.
    known: HashMap<Vec<Fingerprint>, Score>,
    /// The tallies of the original, once it is scored.
    baseline: Option<Vec<Box<dyn Tally>>>,
}

/// The default memory of the activation cache in bytes.
const CACHE_MEMORY: usize = 256 << 20;

/// The targets that outputs are compared with.
enum Targets {
    /// No metric needs targets.
    None,
    /// Values of the data set.
    FromData(Rows<f32>),
    /// The outputs of the original model; computed when they are first needed.
    Original(Option<Rows<f32>>),
}

/// The original model, compiled by the interpreter that runs all other models too.
#[derive(Clone)]
pub struct OriginalModel {
    interpreter: Arc<Interpreter>,
    model: Model,
    /// The compiled model, until it is scored. Its packed weights would otherwise occupy memory during all trials.
    session: Option<Arc<Session>>,
}

impl OriginalModel {
    /// Compiles a model. A network of f16, bf16 or f64 is computed in f32, as runtimes on processors compute f16: results
    /// between its operators may be beyond the range of f16.
    ///
    /// # Errors
    /// If the interpreter can't run it.
    pub fn new(interpreter: Arc<Interpreter>, model: &Model) -> Result<OriginalModel> {
        let mut model = model.clone();
        InferShapes.run(&mut model)?;
        ComputeInF32.run(&mut model)?;
        let session = Some(Arc::new(interpreter.session(&model)?));
        Ok(OriginalModel { interpreter, model, session })
    }

    /// The compiled model.
    fn session(&mut self) -> Result<Arc<Session>> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let session = Arc::new(self.interpreter.session(&self.model)?);
        self.session = Some(session.clone());
        Ok(session)
    }
}

/// The way in which a model is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScoringMode {
    /// The original model, with which all others are compared.
    Original,
    /// A model that is computed completely, without the activation cache: the first trial, and saved models.
    Complete,
    /// A later trial, which uses the activation cache.
    Cached,
}

impl DataScorer {
    /// A scorer of the samples of a feed, run by the interpreter of `original`. The batches are shorter than the feed's if the tensors of the
    /// original model would not fit into the processor's cache. `data` is the data set of the samples, with the labels and
    /// targets that the metrics need; if it has no targets, they are the outputs of `original`.
    ///
    /// # Errors
    /// If labels are missing, labels or targets do not fit the samples, or `original` can't be run.
    pub fn new(
        mut original: OriginalModel,
        evaluation: Feed,
        data: &DataSet,
        metrics: Vec<Metric>,
    ) -> Result<DataScorer> {
        let needs = |truth: Truth| metrics.iter().any(|metric| metric.row().truth == truth);
        let of_samples = |tensor: &Tensor| tensor.shape()[0];
        let mut label_rows = Rows::default();
        if needs(Truth::Labels) {
            for tensor in data.targets("labels", &evaluation)? {
                let labels = labels(&tensor).map_err(|error| error.at(data.source()))?;
                label_rows.extend(&labels, of_samples(&tensor));
            }
        }
        let targets = match (needs(Truth::Targets), data.has_targets("targets", &evaluation)) {
            (false, _) => Targets::None,
            (true, true) => {
                let mut rows = Rows::default();
                for tensor in data.targets("targets", &evaluation)? {
                    let targets = numbers(&tensor).map_err(|error| error.at("targets").at(data.source()))?;
                    rows.extend(&targets, of_samples(&tensor));
                }
                Targets::FromData(rows)
            }
            (true, false) => Targets::Original(None),
        };
        let graph = original.model.main();
        let is_tensor = |ty: &Option<Type>| matches!(ty, None | Some(Type::Tensor(_)));
        let first = graph.outputs().iter().position(|&value| is_tensor(&graph.value(value).ty));
        let output_axis = evaluation.output_axis(first.unwrap_or(0));
        let evaluation = fit_to_cache(evaluation, &*original.session()?)?;
        let cache = ActivationCache::new(original.interpreter.clone(), evaluation.n_batches());
        Ok(DataScorer {
            evaluation,
            metrics,
            cache_memory: CACHE_MEMORY,
            labels: label_rows,
            targets,
            output_axis,
            cache,
            known: HashMap::new(),
            original,
            baseline: None,
        })
    }

    /// Whether a metric compares with the outputs of the original model, which the original matches perfectly.
    pub fn is_measured_by_original(&self, metric: &Metric) -> bool {
        metric.row().truth == Truth::Targets && matches!(self.targets, Targets::Original(_))
    }

    /// Computes the outputs of the original model, if they are the targets and are not computed yet.
    fn compute_targets(&mut self, scoring: &mut Scoring<'_, Score>) -> Result<()> {
        let Targets::Original(outputs @ None) = &mut self.targets else { return Ok(()) };
        let session = self.original.session()?;
        let batches: Vec<Range<usize>> = self.evaluation.batches().collect();
        let (mut found, mut n_done) = (Rows::default(), 0);
        for wave in batches.chunks(rayon::current_num_threads()) {
            (scoring.progress)(n_done, batches.len())?;
            n_done += wave.len();
            let outputs_of_wave: Vec<Result<Vec<Tensor>>> = wave
                .par_iter()
                .map(|samples| session.run(&self.evaluation.inputs(samples.clone())?))
                .collect();
            for (of_batch, samples) in outputs_of_wave.into_iter().zip(wave) {
                let outputs = of_batch?;
                found.extend(&Batch::of(&outputs, samples.len(), self.output_axis)?.output, samples.len());
            }
        }
        *outputs = Some(found);
        Ok(())
    }

    /// The noise of each metric, from the tallies of a model and the original. The tallies of the original are stored; if it was
    /// scored in an earlier run, and its score has no contributions, it is scored again.
    fn noise(
        &mut self,
        tallies: Vec<Box<dyn Tally>>,
        mode: ScoringMode,
        scoring: &mut Scoring<'_, Score>,
    ) -> Result<Vec<Noise>> {
        let original = scoring.original.map_or(&[][..], |original| &original.contributions);
        if !original.is_empty() && scoring.first.is_some() {
            let pairs = original.iter().zip(&tallies);
            let noises = pairs.filter_map(|(before, tally)| {
                tally.contributions().map(|after| noise_of_mean(before, after, tally.is_count()))
            });
            return Ok(noises.collect());
        }
        if mode != ScoringMode::Original && self.baseline.is_none() {
            let original = self.original.model.clone();
            let progress = &mut *scoring.progress;
            let mut scoring = Scoring { original: None, first: None, out_of_reach: None, progress };
            self.score_model(&original, ScoringMode::Original, &mut scoring)?;
        }
        if mode == ScoringMode::Original {
            self.baseline = Some(tallies);
            let baseline = self.baseline.iter().flatten();
            return Ok(baseline.map(|tally| noise(&**tally, &**tally)).collect());
        }
        let pairs = self.baseline.iter().flatten().zip(&tallies);
        Ok(pairs.map(|(original, tally)| noise(&**original, &**tally)).collect())
    }

    /// The outputs of some samples with their labels and targets.
    fn batch<'a>(&'a self, outputs: &'a [Tensor], samples: &[usize]) -> Result<Batch<'a>> {
        let batch = Batch::of(outputs, samples.len(), self.output_axis)?;
        let targets = match &self.targets {
            Targets::None => Cow::Borrowed(&[][..]),
            Targets::FromData(rows) => rows.of(samples),
            Targets::Original(rows) => rows.as_ref().expect("the targets were computed before").of(samples),
        };
        Ok(Batch { labels: self.labels.of(samples), targets, ..batch })
    }
}

impl Scorer for DataScorer {
    type Score = Score;

    /// Deploy models are run as runtimes execute them, see [`Deployed::executed`](intact8_quant::Deployed::executed); fake-quant
    /// models as they are written.
    fn score(&mut self, subject: Subject<'_>, scoring: &mut Scoring<'_, Score>) -> Result<Score, BoxError> {
        let began = Instant::now();
        let (model, mode) = match subject {
            Subject::Original(_) => (Cow::Owned(self.original.model.clone()), ScoringMode::Original),
            Subject::Trial { index, quantized, deployed } => {
                let mode = if index == 0 { ScoringMode::Complete } else { ScoringMode::Cached };
                match deployed {
                    Some(deployed) => (Cow::Owned(deployed.executed()?), mode),
                    None => (Cow::Borrowed(quantized.fake_quant()), mode),
                }
            }
            Subject::Saved { model: SavedModel::FakeQuant(model), .. } => {
                (Cow::Borrowed(model), ScoringMode::Complete)
            }
            Subject::Saved { model: SavedModel::Deployed(deployed), .. } => {
                (Cow::Owned(deployed.executed()?), ScoringMode::Complete)
            }
        };
        Ok(self.score_model(&model, mode, scoring)?.measured(began))
    }
}

impl DataScorer {
    /// Scores a model. A model whose outputs have the fingerprints of a model that is scored already, such as one that was read
    /// back from its file, is not run: it has the same score.
    fn score_model(
        &mut self,
        model: &Model,
        mode: ScoringMode,
        scoring: &mut Scoring<'_, Score>,
    ) -> Result<Score> {
        let fingerprints = self.cache.output_fingerprints(model);
        if let Some(score) = self.known.get(&fingerprints) {
            return Ok(Score { effort: Effort { samples: Some(0), ..Effort::default() }, ..score.clone() });
        }
        let score = self.run(model, mode, scoring)?;
        if mode != ScoringMode::Original && score.stopped_after.is_none() {
            self.known.insert(fingerprints, score.clone());
        }
        Ok(score)
    }

    /// Runs a model on all samples, as many batches at once as there are threads. The results are counted in the order of the
    /// batches, so neither the score nor the stopping point depends on the number of threads. If the scoring may stop early, the
    /// samples with the worst results in earlier models run first.
    fn run(&mut self, model: &Model, mode: ScoringMode, scoring: &mut Scoring<'_, Score>) -> Result<Score> {
        self.compute_targets(scoring)?;
        let first_inputs = || self.evaluation.inputs(self.evaluation.batches().next().unwrap_or_default());
        let memory = if mode == ScoringMode::Cached { self.cache_memory } else { 0 };
        let session = (mode == ScoringMode::Original).then(|| self.original.session()).transpose()?;
        self.original.session = None;
        let mut cached = self.cache.prepare(model, session, memory, first_inputs)?;
        let mut tallies: Vec<Box<dyn Tally>> = self.metrics.iter().map(Metric::tally).collect();
        let n_samples = self.evaluation.n_samples();
        let references = scoring.original.zip(scoring.first).filter(|_| scoring.out_of_reach.is_some());
        let references = references.map(<[&Score; 2]>::from);
        let better = self.metrics.first().map_or(Better::Higher, |metric| metric.row().better);
        let sorted = references.and_then(|references| worst_first(references, better));
        // A journal may hold contributions of other samples.
        let sorted = sorted.filter(|order| order.len() == n_samples);
        let order = sorted.clone().unwrap_or_else(|| (0..n_samples).collect());
        let batches = self.evaluation.batches_of(&order);
        let order = batches.concat();
        let (mut idx, mut n_scored) = (0, 0);
        for wave in batches.chunks(rayon::current_num_threads()) {
            (scoring.progress)(idx, batches.len())?;
            let starts = (idx..)
                .zip(wave)
                .map(|(idx, samples)| Ok((self.cache.lookup(&mut cached, idx)?, &samples[..])));
            let starts = starts.collect::<Result<Vec<_>>>()?;
            let run_batch = |(start, samples): (CachedValues, &[usize])| {
                cached.run(self.evaluation.inputs_of(samples)?, start)
            };
            let results: Vec<Result<BatchResult>> = starts.into_par_iter().map(run_batch).collect();
            for (result, samples) in results.into_iter().zip(wave) {
                let mut result = result?;
                self.cache.store(idx, &mut result);
                let batch = self.batch(&result.outputs, samples)?;
                for (tally, metric) in tallies.iter_mut().zip(&self.metrics) {
                    tally.add(&batch).map_err(|error| error.at(&metric.name))?;
                }
                idx += 1;
                n_scored += samples.len();
                let Some(is_out_of_reach) = scoring.out_of_reach.filter(|_| n_scored < n_samples) else {
                    continue;
                };
                let best = tallies.iter().zip(&self.metrics).map(|(tally, metric)| {
                    let (least, most) = tally.range(n_samples - n_scored);
                    if metric.row().better == Better::Higher { most } else { least }
                });
                let best = Score::of(best.collect());
                if is_out_of_reach(&best) {
                    let references = references.filter(|_| sorted.is_some());
                    let estimates = tallies.iter().enumerate().map(|(goal, tally)| {
                        match (references, tally.contributions()) {
                            (Some(references), Some(scored)) => estimate(scored, &order, references, goal),
                            _ => tally.value(),
                        }
                    });
                    return Ok(Score {
                        values: best.values,
                        stopped_after: Some(n_scored),
                        estimates: estimates.collect(),
                        effort: Effort { samples: Some(n_scored), ..Effort::default() },
                        ..Score::default()
                    });
                }
            }
        }
        if sorted.is_some() {
            tallies.iter_mut().for_each(|tally| tally.sort(&order));
        }
        let values: Vec<f64> = tallies.iter().map(|tally| tally.value()).collect();
        if let Some(idx) = values.iter().position(|value| value.is_nan()) {
            return Err(Error::evaluator("the metric is NaN; check the labels and targets")
                .at(&self.metrics[idx].name));
        }
        let contributions = match mode {
            ScoringMode::Cached => None,
            _ => tallies.iter().map(|tally| tally.contributions().map(<[f64]>::to_vec)).collect(),
        };
        let is_original = mode == ScoringMode::Original;
        let scored = self.metrics.iter().zip(&tallies).filter(|_| is_original);
        let chance = scored.map(|(metric, tally)| match self.is_measured_by_original(metric) {
            true => Chance::default(),
            false => tally.chance(),
        });
        let chance = chance.collect();
        let noise = self.noise(tallies, mode, scoring)?;
        let effort = Effort { samples: Some(n_samples), ..Effort::default() };
        Ok(Score {
            values,
            noise,
            chance,
            effort,
            contributions: contributions.unwrap_or_default(),
            ..Score::default()
        })
    }
}

#[cfg(test)]
mod tests;
