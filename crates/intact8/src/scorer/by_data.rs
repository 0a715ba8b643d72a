//! Scores by metrics over a data set, run by our interpreter.

use super::fingerprint::Fingerprint;
use super::in_cache::in_cache;
use super::kept::{Kept, Made, Start};
use super::order::{estimate, worst_first};
use super::{Effort, Score};
use crate::data::{
    Batch, Better, DataSet, Feed, Metric, Noise, Tally, Truth, labels, noise, noise_of_mean, numbers,
};
use intact8_calibrate::BoxError;
use intact8_interp::{Interpreter, Session};
use intact8_ir::{Error, Model, Result, Tensor};
use intact8_search::{SavedModel, Scorer, Scoring, Subject};
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Scores by metrics over a data set.
pub struct DataScorer {
    /// The samples.
    pub evaluation: Feed,
    /// What is counted.
    pub metrics: Vec<Metric>,
    /// How many bytes of activations are kept between trials, which then run only what has changed; the scores are the
    /// same, bit for bit. 256 MiB unless it is set. The first trial keeps nothing, for mostly it is the last.
    pub cache_memory: usize,
    labels: Vec<i64>,
    targets: Targets,
    kept: Kept,
    original: OriginalModel,
    /// The scores of models that were scored to their end, by what their outputs are computed by.
    known: HashMap<Vec<Fingerprint>, Score>,
    /// What the original's samples gave, once it has been scored.
    baseline: Option<Vec<Box<dyn Tally>>>,
}

/// How much memory activations may take that are kept between trials.
const CACHE_MEMORY: usize = 256 << 20;

/// What outputs are compared with.
enum Targets {
    /// No metric asks.
    None,
    /// Values of the data set, as many for each sample.
    Given(Vec<f32>),
    /// The outputs of the original, batch by batch; computed when they are first needed.
    Original(Option<Vec<Vec<f32>>>),
}

/// The original model, compiled by the interpreter that runs all others too.
#[derive(Clone)]
pub struct OriginalModel {
    interpreter: Arc<Interpreter>,
    model: Model,
    session: Arc<Session>,
}

impl OriginalModel {
    /// Compiles a model.
    ///
    /// # Errors
    /// If the interpreter can't run it.
    pub fn new(interpreter: Arc<Interpreter>, model: &Model) -> Result<OriginalModel> {
        let session = Arc::new(interpreter.session(model)?);
        Ok(OriginalModel { interpreter, model: model.clone(), session })
    }
}

/// How a model is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The original, with which all others are compared.
    Original,
    /// A model that is scored to its end by itself: the first trial, and what was saved.
    Whole,
    /// A trial that may make use of what others have computed.
    Trial,
}

impl DataScorer {
    /// A scorer of the samples of a feed, run as `original` is: in batches as long as the feed's or, where the values that the
    /// original computes of one would not stay in the processor's cache, in shorter ones. Labels and targets are from the data
    /// set that the samples come from; if it has no targets, and a metric needs some, they are the outputs of `original`.
    ///
    /// # Errors
    /// If labels or targets are missing or do not fit, or `original` can't be run.
    pub fn new(
        original: OriginalModel,
        evaluation: Feed,
        data: &DataSet,
        metrics: Vec<Metric>,
    ) -> Result<DataScorer> {
        let wants = |truth: Truth| metrics.iter().any(|metric| metric.row().truth == truth);
        let n_samples = evaluation.n_samples();
        let labels = match wants(Truth::Labels) {
            true => labels(&data.targets("labels", n_samples)?).map_err(|error| error.at(&data.source))?,
            false => vec![],
        };
        let targets = match (wants(Truth::Targets), data.arrays.contains_key("targets")) {
            (false, _) => Targets::None,
            (true, true) => {
                let targets = data.targets("targets", n_samples)?;
                let targets = numbers(&targets);
                Targets::Given(targets.map_err(|error| error.at("targets").at(&data.source))?.into_owned())
            }
            (true, false) => Targets::Original(None),
        };
        let evaluation = in_cache(evaluation, &original.session)?;
        let kept = Kept::new(original.interpreter.clone(), evaluation.n_batches());
        Ok(DataScorer {
            evaluation,
            metrics,
            cache_memory: CACHE_MEMORY,
            labels,
            targets,
            kept,
            known: HashMap::new(),
            original,
            baseline: None,
        })
    }

    /// Whether a metric compares with what the original gives, which the original matches perfectly.
    pub fn is_measured_by_original(&self, metric: &Metric) -> bool {
        metric.row().truth == Truth::Targets && matches!(self.targets, Targets::Original(_))
    }

    /// Computes the outputs of the original, if they are the targets and are not known yet.
    fn find_targets(&mut self, scoring: &mut Scoring<'_, Score>) -> Result<()> {
        let Targets::Original(outputs @ None) = &mut self.targets else { return Ok(()) };
        let batches: Vec<Range<usize>> = self.evaluation.batches().collect();
        let mut found = Vec::new();
        for wave in batches.chunks(rayon::current_num_threads()) {
            (scoring.progress)(found.len(), batches.len())?;
            let of_wave: Vec<Result<Vec<Tensor>>> = wave
                .par_iter()
                .map(|samples| self.original.session.run(&self.evaluation.inputs(samples.clone())?))
                .collect();
            for (of_batch, samples) in of_wave.into_iter().zip(wave) {
                found.push(Batch::of(&of_batch?, samples.len())?.output.into_owned());
            }
        }
        *outputs = Some(found);
        Ok(())
    }

    /// The noise of each metric. The tallies of the original are kept; if it was scored in an earlier run, and its score does not
    /// hold what is needed, it is scored again.
    fn noise(
        &mut self,
        tallies: Vec<Box<dyn Tally>>,
        kind: Kind,
        scoring: &mut Scoring<'_, Score>,
    ) -> Result<Vec<Noise>> {
        let original = scoring.original.map_or(&[][..], |original| &original.contributions);
        if !original.is_empty() && scoring.first.is_some() {
            let pairs = original.iter().zip(&tallies);
            let of_means = pairs.filter_map(|(before, tally)| {
                tally.contributions().map(|after| noise_of_mean(before, after, tally.is_count()))
            });
            return Ok(of_means.collect());
        }
        if kind != Kind::Original && self.baseline.is_none() {
            let original = self.original.model.clone();
            let progress = &mut *scoring.progress;
            let mut scoring = Scoring { original: None, first: None, out_of_reach: None, progress };
            self.score_model(&original, Kind::Original, &mut scoring)?;
        }
        if kind == Kind::Original {
            self.baseline = Some(tallies);
            let baseline = self.baseline.iter().flatten();
            return Ok(baseline.map(|tally| noise(&**tally, &**tally)).collect());
        }
        let pairs = self.baseline.iter().flatten().zip(&tallies);
        Ok(pairs.map(|(original, tally)| noise(&**original, &**tally)).collect())
    }

    fn batch<'a>(&'a self, outputs: &'a [Tensor], samples: &[usize]) -> Result<Batch<'a>> {
        let batch = Batch::of(outputs, samples.len())?;
        let n_samples = self.evaluation.n_samples();
        let targets = match &self.targets {
            Targets::None => Cow::Borrowed(&[][..]),
            Targets::Given(values) => of_samples(values, samples, n_samples),
            Targets::Original(outputs) => {
                let outputs = outputs.as_ref().expect("the targets were computed before");
                let of_sample = |&sample: &usize| {
                    let (idx, of_batch) = (sample / self.evaluation.batch_len(), self.evaluation.batch_len());
                    let n_here = of_batch.min(n_samples - idx * of_batch);
                    let row = outputs[idx].len() / n_here;
                    &outputs[idx][sample % of_batch * row..][..row]
                };
                Cow::Owned(samples.iter().flat_map(of_sample).copied().collect())
            }
        };
        Ok(Batch { labels: of_samples(&self.labels, samples, n_samples), targets, ..batch })
    }
}

/// The rows of some samples.
fn of_samples<'a, T: Clone>(values: &'a [T], samples: &[usize], n_samples: usize) -> Cow<'a, [T]> {
    let row = values.len() / n_samples;
    let of_sample = |&sample: &usize| &values[sample * row..(sample + 1) * row];
    Cow::Owned(samples.iter().flat_map(of_sample).cloned().collect())
}

impl Scorer for DataScorer {
    type Score = Score;

    /// Quantized models are run as runtimes execute them, see [`Deployed::executed`](intact8_quant::Deployed::executed);
    /// the simulation alone, as it is written.
    fn score(&mut self, subject: Subject<'_>, scoring: &mut Scoring<'_, Score>) -> Result<Score, BoxError> {
        let began = Instant::now();
        let (model, kind) = match subject {
            Subject::Original(model) => (Cow::Borrowed(model), Kind::Original),
            Subject::Trial { index, quantized, deployed } => {
                let kind = if index == 0 { Kind::Whole } else { Kind::Trial };
                match deployed {
                    Some(deployed) => (Cow::Owned(deployed.executed()?), kind),
                    None => (Cow::Borrowed(quantized.fake_quant()), kind),
                }
            }
            Subject::Saved { model: SavedModel::FakeQuant(model), .. } => (Cow::Borrowed(model), Kind::Whole),
            Subject::Saved { model: SavedModel::Deployed(deployed), .. } => {
                (Cow::Owned(deployed.executed()?), Kind::Whole)
            }
        };
        Ok(self.score_model(&model, kind, scoring)?.measured(began))
    }
}

impl DataScorer {
    /// As many batches as there are threads run at once. The results are counted in order, so that neither the score
    /// nor where it stops depends on the number of threads. If it may stop, the samples at risk come first.
    ///
    /// A model whose outputs are computed exactly as those of one before, such as a file that was read back, is not run: it
    /// has the same score.
    fn score_model(&mut self, model: &Model, kind: Kind, scoring: &mut Scoring<'_, Score>) -> Result<Score> {
        let computed_by = self.kept.outputs(model);
        if let Some(score) = self.known.get(&computed_by) {
            return Ok(Score { effort: Effort { samples: Some(0), ..Effort::default() }, ..score.clone() });
        }
        let score = self.run(model, kind, scoring)?;
        if kind != Kind::Original && score.stopped_after.is_none() {
            self.known.insert(computed_by, score.clone());
        }
        Ok(score)
    }

    fn run(&mut self, model: &Model, kind: Kind, scoring: &mut Scoring<'_, Score>) -> Result<Score> {
        self.find_targets(scoring)?;
        let first = || self.evaluation.inputs(self.evaluation.batches().next().unwrap_or_default());
        let memory = if kind == Kind::Trial { self.cache_memory } else { 0 };
        let session = (kind == Kind::Original).then(|| self.original.session.clone());
        let mut run = self.kept.run(model, session, memory, first)?;
        let mut tallies: Vec<Box<dyn Tally>> = self.metrics.iter().map(Metric::tally).collect();
        let n_samples = self.evaluation.n_samples();
        let references = scoring.original.zip(scoring.first).filter(|_| scoring.out_of_reach.is_some());
        let references = references.map(<[&Score; 2]>::from);
        let better = self.metrics.first().map_or(Better::Higher, |metric| metric.row().better);
        let sorted = references.and_then(|references| worst_first(references, better));
        let order = sorted.clone().unwrap_or_else(|| (0..n_samples).collect());
        let batches: Vec<&[usize]> = order.chunks(self.evaluation.batch_len()).collect();
        let (mut idx, mut n_seen) = (0, 0);
        for wave in batches.chunks(rayon::current_num_threads()) {
            (scoring.progress)(idx, batches.len())?;
            let starts =
                (idx..).zip(wave).map(|(idx, samples)| Ok((self.kept.start(&mut run, idx)?, *samples)));
            let starts = starts.collect::<Result<Vec<_>>>()?;
            let on = |(start, samples): (Start, &[usize])| run.on(self.evaluation.inputs_of(samples)?, start);
            let made: Vec<Result<Made>> = starts.into_par_iter().map(on).collect();
            for (made, samples) in made.into_iter().zip(wave) {
                let mut made = made?;
                self.kept.keep(idx, &mut made);
                let batch = self.batch(&made.outputs, samples)?;
                for (tally, metric) in tallies.iter_mut().zip(&self.metrics) {
                    tally.add(&batch).map_err(|error| error.at(&metric.name))?;
                }
                idx += 1;
                n_seen += samples.len();
                let Some(is_out_of_reach) = scoring.out_of_reach.filter(|_| n_seen < n_samples) else {
                    continue;
                };
                let best = tallies.iter().zip(&self.metrics).map(|(tally, metric)| {
                    let (least, most) = tally.range(n_samples - n_seen);
                    if metric.row().better == Better::Higher { most } else { least }
                });
                let best = Score::of(best.collect());
                if is_out_of_reach(&best) {
                    let references = references.filter(|_| sorted.is_some());
                    let estimates = tallies.iter().enumerate().map(|(goal, tally)| {
                        match (references, tally.contributions()) {
                            (Some(references), Some(seen)) => estimate(seen, &order, references, goal),
                            _ => tally.value(),
                        }
                    });
                    return Ok(Score {
                        values: best.values,
                        stopped_after: Some(n_seen),
                        estimates: estimates.collect(),
                        effort: Effort { samples: Some(n_seen), ..Effort::default() },
                        ..Score::default()
                    });
                }
            }
        }
        if let Some(order) = &sorted {
            tallies.iter_mut().for_each(|tally| tally.sort(order));
        }
        let values: Vec<f64> = tallies.iter().map(|tally| tally.value()).collect();
        if let Some(idx) = values.iter().position(|value| value.is_nan()) {
            return Err(Error::evaluator("is not a number").at(&self.metrics[idx].name));
        }
        let contributions = match kind {
            Kind::Trial => None,
            _ => tallies.iter().map(|tally| tally.contributions().map(<[f64]>::to_vec)).collect(),
        };
        let noise = self.noise(tallies, kind, scoring)?;
        let effort = Effort { samples: Some(n_samples), ..Effort::default() };
        Ok(Score {
            values,
            noise,
            effort,
            contributions: contributions.unwrap_or_default(),
            ..Score::default()
        })
    }
}

#[cfg(test)]
mod tests;
