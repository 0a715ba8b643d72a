//! A run of a model over all samples: batches in parallel, tallies, early stop and noise.

use super::compiled::Compiled;
use super::{DataScorer, ScoringMode, Targets};
use crate::chance::Chance;
use crate::data::{Batch, Better, Metric, Noise, Rows, Tally, Truth, noise, noise_of_mean, trimmed};
use crate::scorer::sample_order::{estimate, worst_first};
use crate::scorer::{Effort, Score};
use intact8_ir::{Error, Executor, Model, Result, Tensor};
use intact8_search::Scoring;
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;

/// The order in which samples count.
pub(super) struct Order {
    /// The samples in order.
    samples: Vec<usize>,
    /// The same in batches.
    pub(super) batches: Vec<Vec<usize>>,
    /// Whether it is not that of the data.
    is_sorted: bool,
}

impl Order {
    fn of(scorer: &DataScorer, scoring: &Scoring<'_, Score>) -> Order {
        let n_samples = scorer.evaluation.n_samples();
        let references = scoring.original.zip(scoring.first).filter(|_| scoring.out_of_reach.is_some());
        let better = scorer.metrics.first().map_or(Better::Higher, |metric| metric.better());
        let sorted = references.and_then(|references| worst_first(references.into(), better));
        // A journal may hold contributions of other samples.
        let sorted = sorted.filter(|order| order.len() == n_samples);
        let is_sorted = sorted.is_some();
        let batches = scorer.evaluation.batches_of(&sorted.unwrap_or_else(|| (0..n_samples).collect()));
        Order { samples: batches.concat(), batches, is_sorted }
    }
}

impl DataScorer {
    /// Runs a model on all samples, as many batches at once as there are threads, or on workers. The results are counted in the order
    /// of the batches, so neither the score nor the stopping point depends on the number of threads or workers. If the scoring may
    /// stop early, the samples with the worst results in earlier models run first.
    pub(super) fn run(
        &mut self,
        model: &Model,
        mode: ScoringMode,
        scoring: &mut Scoring<'_, Score>,
    ) -> Result<Score> {
        let mut tallies: Vec<Box<dyn Tally>> = self.metrics.iter().map(Metric::tally).collect();
        if let Some(samples) = self.known_samples.take() {
            self.add_known(&mut tallies, samples)?;
            return self.summary(tallies, mode, scoring);
        }
        let order = Order::of(self, scoring);
        let mut workers = self.workers.take();
        let stopped = match &mut workers {
            Some(workers) => self.run_on_workers((model, mode), &order, &mut tallies, scoring, workers),
            None => self.run_here((model, mode), &order, &mut tallies, scoring),
        };
        self.workers = workers;
        if let Some(stopped) = stopped? {
            return Ok(stopped);
        }
        for (tally, metric) in tallies.iter_mut().zip(&self.metrics) {
            tally.finish().map_err(|error| error.at(&metric.name))?;
        }
        if order.is_sorted {
            tallies.iter_mut().for_each(|tally| tally.sort(&order.samples));
        }
        self.summary(tallies, mode, scoring)
    }

    /// Runs a model in this process; its score if the scoring stops early.
    fn run_here(
        &mut self,
        (model, mode): (&Model, ScoringMode),
        order: &Order,
        tallies: &mut [Box<dyn Tally>],
        scoring: &mut Scoring<'_, Score>,
    ) -> Result<Option<Score>> {
        self.compute_targets(scoring)?;
        let (foreign, interpreter) = (self.foreign.clone(), self.original.interpreter.clone());
        let compiled = match &foreign {
            Some(foreign) => Compiled::Own(foreign.runtime.compile(model)?),
            None if mode == ScoringMode::Original => Compiled::Known(self.original.session()?),
            None => Compiled::Own(Box::new(interpreter.session(model)?)),
        };
        // Its packed weights would occupy memory during all trials.
        self.original.session = None;
        let executor = compiled.executor();
        let mut idx = 0;
        for wave in order.batches.chunks(rayon::current_num_threads()) {
            (scoring.progress)(idx, order.batches.len())?;
            let run_batch = |samples: &Vec<usize>| executor.run(&self.evaluation.finite_inputs_of(samples)?);
            let results: Vec<Result<Vec<Tensor>>> = wave.par_iter().map(run_batch).collect();
            for (outputs, samples) in results.into_iter().zip(wave) {
                let outputs = outputs?;
                if mode == ScoringMode::Original {
                    self.check_outputs(&outputs, samples)?;
                }
                self.add(tallies, (&outputs, None), samples)?;
                idx += 1;
                if let Some(stopped) = self.stopped(order, tallies, scoring) {
                    return Ok(Some(stopped));
                }
            }
        }
        Ok(None)
    }

    /// The score of a model that can no longer meet the target, from the samples counted so far.
    pub(super) fn stopped(
        &self,
        order: &Order,
        tallies: &[Box<dyn Tally>],
        scoring: &Scoring<'_, Score>,
    ) -> Option<Score> {
        let (n_scored, n_samples) = (tallies.first().map_or(0, |tally| tally.n()), order.samples.len());
        let is_out_of_reach = scoring.out_of_reach.filter(|_| n_scored < n_samples)?;
        let best = tallies.iter().zip(&self.metrics).map(|(tally, metric)| {
            let (least, most) = tally.range(n_samples - n_scored);
            if metric.better() == Better::Higher { most } else { least }
        });
        let best = Score::of(best.collect());
        if !is_out_of_reach(&best) {
            return None;
        }
        let references = scoring.original.zip(scoring.first).filter(|_| order.is_sorted);
        let references = references.map(<[&Score; 2]>::from);
        let estimates =
            tallies.iter().enumerate().map(|(goal, tally)| match (references, tally.contributions()) {
                (Some(references), Some(scored)) => estimate(scored, &order.samples, references, goal),
                _ => tally.value(),
            });
        Some(Score {
            values: best.values,
            stopped_after: Some(n_scored),
            estimates: estimates.collect(),
            effort: Effort { samples: Some(n_scored), ..Effort::default() },
            ..Score::default()
        })
    }

    /// The score of a model whose samples are all counted.
    fn summary(
        &mut self,
        tallies: Vec<Box<dyn Tally>>,
        mode: ScoringMode,
        scoring: &mut Scoring<'_, Score>,
    ) -> Result<Score> {
        let n_samples = self.evaluation.n_samples();
        let values: Vec<f64> = tallies.iter().map(|tally| tally.value()).collect();
        if let Some(idx) = values.iter().position(|value| value.is_nan()) {
            return Err(Error::evaluator("the metric is NaN; check the data and the model's outputs")
                .at(&self.metrics[idx].name));
        }
        let contributions = match mode {
            ScoringMode::Later => None,
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

    /// Computes the outputs of the original model, if they are the targets and are not computed yet.
    fn compute_targets(&mut self, scoring: &mut Scoring<'_, Score>) -> Result<()> {
        let Targets::Original(None) = &self.targets else { return Ok(()) };
        let foreign = self.foreign.clone();
        let (session, compiled);
        let executor: &dyn Executor = match &foreign {
            Some(foreign) => {
                compiled = foreign.runtime.compile(&foreign.original)?;
                &*compiled
            }
            None => {
                session = self.original.session()?;
                &*session
            }
        };
        let batches: Vec<Range<usize>> = self.evaluation.batches().collect();
        let (mut found, mut n_done) = (Rows::default(), 0);
        for wave in batches.chunks(rayon::current_num_threads()) {
            (scoring.progress)(n_done, batches.len())?;
            n_done += wave.len();
            let outputs_of_wave: Vec<Result<Vec<Tensor>>> = wave
                .par_iter()
                .map(|samples| executor.run(&self.evaluation.finite_inputs(samples.clone())?))
                .collect();
            for (of_batch, samples) in outputs_of_wave.into_iter().zip(wave) {
                let outputs = of_batch?;
                self.check_outputs(&outputs, &samples.clone().collect::<Vec<_>>())?;
                found.extend(&Batch::of(&outputs, samples.len(), self.output_axis)?.output, samples.len());
            }
        }
        self.targets = Targets::Original(Some(found));
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
        if !tallies.iter().all(|tally| tally.has_noise()) {
            return Ok(vec![]);
        }
        let original = scoring.original.map_or(&[][..], |original| &original.contributions);
        if !original.is_empty() && scoring.first.is_some() {
            let pairs = original.iter().zip(&tallies);
            let noises = pairs.filter_map(|(before, tally)| {
                tally.contributions().map(|after| noise_of_mean(before, after, tally.is_count()))
            });
            return Ok(noises.collect());
        }
        if mode != ScoringMode::Original && self.baseline.is_none() {
            let original = self.original_model().clone();
            let progress = &mut *scoring.progress;
            let mut scoring =
                Scoring { original: None, first: None, out_of_reach: None, misses: None, progress };
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

    /// Adds the outputs of some samples to the tallies. The outputs of the original are given if they are the targets and not known
    /// for all samples.
    pub(super) fn add(
        &self,
        tallies: &mut [Box<dyn Tally>],
        (outputs, original): (&[Tensor], Option<&[Tensor]>),
        samples: &[usize],
    ) -> Result<()> {
        let is_own = |metric: &Metric| metric.truth() == Truth::Own;
        let batch = match self.metrics.iter().all(is_own) {
            true => None,
            false => Some(self.batch((outputs, original), samples)?),
        };
        let n_fed = self.evaluation.n_fed_of(samples);
        let of_samples = |(idx, output): (usize, &Tensor)| match self.evaluation.output_axis(idx) {
            Some(axis) => trimmed(output, axis, n_fed, samples.len()),
            None => output.clone(),
        };
        for (tally, metric) in tallies.iter_mut().zip(&self.metrics) {
            let added = match &batch {
                Some(batch) if !is_own(metric) => tally.add(batch),
                _ => {
                    let outputs: Vec<Tensor> = outputs.iter().enumerate().map(of_samples).collect();
                    tally.add_outputs(&outputs, samples)
                }
            };
            added.map_err(|error| error.at(&metric.name))?;
        }
        Ok(())
    }

    /// Checks that the first output of the original is not NaN. What a trial makes of these samples can't be judged then; a trial
    /// whose output is NaN is judged, and NaN counts as the worst output.
    pub(super) fn check_outputs(&self, outputs: &[Tensor], samples: &[usize]) -> Result<()> {
        if self.metrics.iter().all(|metric| metric.truth() == Truth::Own) {
            return Ok(());
        }
        let batch = Batch::of(outputs, samples.len(), self.output_axis)?;
        let Some(position) = batch.output.iter().position(|value| value.is_nan()) else { return Ok(()) };
        let sample = samples[position / (batch.output.len() / samples.len())];
        Err(Error::evaluator(format!(
            "the original's output is NaN for {}, though its inputs are finite; leave the sample out, or find the value with \
             `intact8 run --tap`",
            self.evaluation.sample_shown(sample)
        )))
    }

    /// The outputs of some samples with their labels and targets.
    fn batch<'a>(
        &'a self,
        (outputs, original): (&'a [Tensor], Option<&'a [Tensor]>),
        samples: &[usize],
    ) -> Result<Batch<'a>> {
        let batch = Batch::of(outputs, samples.len(), self.output_axis)?;
        let original =
            original.map(|original| Batch::of(original, samples.len(), self.output_axis)).transpose()?;
        let targets = match &self.targets {
            _ if original.is_some() => original.map_or(Cow::Borrowed(&[][..]), |original| original.output),
            Targets::None => Cow::Borrowed(&[][..]),
            Targets::FromData(rows) => rows.of(samples),
            Targets::Original(rows) => rows.as_ref().expect("the targets were computed before").of(samples),
        };
        Ok(Batch { labels: self.labels.of(samples), targets, ..batch })
    }
}
