//! Scoring that several processes share: the samples of some batches, in shards or for a coordinator, and the score of a model from
//! those of all batches.

use super::compiled::Compiled;
use super::run::Order;
use super::{DataScorer, ScoringMode, Tally};
use crate::data::{Metric, TallySamples};
use crate::scorer::Score;
use crate::scorer::workers::{BatchSamples, WorkerFolder, work};
use crate::shards::ScoreTask;
use intact8_calibrate::Shard;
use intact8_ir::{Error, Executor, Model, Result};
use intact8_quant::{DeployFormat, Deployed, Emission};
use intact8_search::Scoring;
use rayon::prelude::*;
use std::borrow::Cow;
use std::path::Path;

/// A model that is ready to run on batches whose samples other processes count.
pub(crate) struct BatchRunner<'a> {
    scorer: &'a DataScorer,
    executor: Compiled<'a>,
    /// The original, if its outputs are the targets and the model is another one.
    original: Option<Box<dyn Executor + 'a>>,
    is_original: bool,
}

impl BatchRunner<'_> {
    /// Runs some batches, several at once, and returns the samples of each batch and metric. `goes_on` is asked before the next batches
    /// run; what is returned is incomplete if they do not.
    pub(crate) fn run(
        &self,
        batches: &[Vec<usize>],
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<BatchSamples> {
        let scorer = self.scorer;
        let executor = self.executor.executor();
        let (evaluation, original) = (&scorer.evaluation, &self.original);
        let run_batch = |samples: &Vec<usize>| {
            let inputs = evaluation.finite_inputs_of(samples)?;
            let targets = original.as_ref().map(|original| original.run(&inputs)).transpose()?;
            Ok((executor.run(&inputs)?, targets))
        };
        let is_own_target = scorer.needs_original_outputs() && self.is_original;
        let mut found = Vec::with_capacity(batches.len());
        for wave in batches.chunks(rayon::current_num_threads()) {
            if !goes_on() {
                break;
            }
            let results: Vec<Result<_>> = wave.par_iter().map(run_batch).collect();
            for (result, samples) in results.into_iter().zip(wave) {
                let (outputs, targets) = result?;
                if self.is_original {
                    scorer.check_outputs(&outputs, samples)?;
                }
                let own = is_own_target.then_some(&outputs[..]);
                let mut tallies = scorer.tallies();
                scorer.add(&mut tallies, (&outputs, targets.as_deref().or(own)), samples)?;
                found.push(scorer.samples_of(&tallies)?);
            }
        }
        Ok(found)
    }
}

impl DataScorer {
    /// Runs a model file on the batches of one shard, as [`score_saved`](crate::score_saved()) runs it, and returns the samples of each
    /// metric. `is_original` is whether it is the original, with which the others are compared.
    ///
    /// # Errors
    /// If the model can't be run, or a metric can't be shared.
    pub(crate) fn score_shard(
        &self,
        (model, is_original): (&Model, bool),
        shard: Shard,
        progress: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<Vec<TallySamples>> {
        let batches: Vec<Vec<usize>> = self.evaluation.batches().map(Iterator::collect).collect();
        let batches = &batches[shard.batches(batches.len())];
        let model = self.as_scored(model, is_original)?;
        let (mut n_done, mut cancelled) = (0, Ok(()));
        let found = self.batch_runner(&model, is_original)?.run(batches, &mut || {
            cancelled = progress(n_done, batches.len());
            n_done = batches.len().min(n_done + rayon::current_num_threads());
            cancelled.is_ok()
        })?;
        cancelled?;
        let mut all = self.samples_of(&self.tallies())?;
        for of_batch in found {
            all.iter_mut().zip(of_batch).try_for_each(|(all, of_batch)| all.append(of_batch))?;
        }
        Ok(all)
    }

    /// Lets the next model be scored from the samples of all shards; it is not run.
    pub(crate) fn know_samples(&mut self, samples: Vec<TallySamples>) {
        self.known_samples = Some(samples);
    }

    /// Adds the samples of all shards to tallies.
    pub(super) fn add_known(&self, tallies: &mut [Box<dyn Tally>], samples: Vec<TallySamples>) -> Result<()> {
        let (n_samples, n_metrics) = (self.evaluation.n_samples(), samples.len());
        if n_metrics != tallies.len() || samples.iter().any(|samples| samples.n() != n_samples) {
            return Err(Error::invalid_data(format!(
                "the shards are not those of {} metrics and {n_samples} samples",
                tallies.len()
            )));
        }
        self.add_samples(tallies, samples)
    }

    /// Works for a coordinator that scores models by the metrics of this scorer on the same samples, until it ends. Returns the number
    /// of pieces of work.
    ///
    /// # Errors
    /// If the coordinator scores another task, a file can't be read or written, or a model can't be run.
    pub fn work(&self, folder: &Path, task: &ScoreTask) -> Result<usize> {
        work(folder, task, self)
    }

    /// Runs a model on workers; its score if the scoring stops early.
    pub(super) fn run_on_workers(
        &self,
        (model, mode): (&Model, ScoringMode),
        order: &Order,
        tallies: &mut [Box<dyn Tally>],
        scoring: &mut Scoring<'_, Score>,
        workers: &mut WorkerFolder,
    ) -> Result<Option<Score>> {
        let is_original = mode == ScoringMode::Original;
        let shared = workers.score(model, is_original, &order.batches)?;
        let mut runner = None;
        for chunk in 0..shared.n_chunks() {
            (scoring.progress)(chunk, shared.n_chunks())?;
            let found = shared.chunk(chunk, &mut |batches| {
                let runner = match &mut runner {
                    Some(runner) => runner,
                    None => runner.insert(self.batch_runner(model, is_original)?),
                };
                runner.run(batches, &mut || true)
            })?;
            if found.len() != shared.batches(chunk).len() {
                return Err(Error::invalid_data("a worker has returned another number of batches"));
            }
            for of_batch in found {
                self.add_samples(tallies, of_batch)?;
                if let Some(stopped) = self.stopped(order, tallies, scoring) {
                    return Ok(Some(stopped));
                }
            }
        }
        Ok(None)
    }

    /// Compiles a model, and the original if its outputs are the targets.
    pub(crate) fn batch_runner<'a>(&'a self, model: &'a Model, is_original: bool) -> Result<BatchRunner<'a>> {
        let (foreign, interpreter) = (&self.foreign, &self.original.interpreter);
        let executor = |model: &'a Model| -> Result<Box<dyn Executor + 'a>> {
            Ok(match foreign {
                Some(foreign) => foreign.runtime.compile(model)?,
                None => Box::new(interpreter.session(model)?),
            })
        };
        let model = if is_original { self.original_model() } else { model };
        // The original is compiled already, unless it was scored here before.
        let known = self.original.session.clone().filter(|_| is_original && foreign.is_none());
        let executor_of_model = match known {
            Some(session) => Compiled::Known(session),
            None => Compiled::Own(executor(model)?),
        };
        let needs_original = self.needs_original_outputs() && !is_original;
        let original = needs_original.then(|| executor(self.original_model())).transpose()?;
        Ok(BatchRunner { scorer: self, executor: executor_of_model, original, is_original })
    }

    fn tallies(&self) -> Vec<Box<dyn Tally>> {
        self.metrics.iter().map(Metric::tally).collect()
    }

    fn samples_of(&self, tallies: &[Box<dyn Tally>]) -> Result<Vec<TallySamples>> {
        let samples = tallies.iter().zip(&self.metrics).map(|(tally, metric)| {
            let refused = || Error::unsupported("can't be scored by several processes").at(&metric.name);
            tally.samples().ok_or_else(refused)
        });
        samples.collect()
    }

    fn add_samples(&self, tallies: &mut [Box<dyn Tally>], samples: Vec<TallySamples>) -> Result<()> {
        for ((tally, samples), metric) in tallies.iter_mut().zip(samples).zip(&self.metrics) {
            tally.add_samples(samples).map_err(|error| error.at(&metric.name))?;
        }
        Ok(())
    }

    /// A model file as it is scored: operators between QuantizeLinear and DequantizeLinear compute on integers.
    fn as_scored<'a>(&'a self, model: &'a Model, is_original: bool) -> Result<Cow<'a, Model>> {
        if is_original {
            return Ok(Cow::Borrowed(self.original_model()));
        }
        let deployed = Deployed::read_back(model.clone(), DeployFormat::Qdq, &Emission::default());
        match deployed.executed().is_ok() {
            true => Ok(Cow::Owned(self.deployed_model(&deployed)?.into_owned())),
            false => Ok(Cow::Borrowed(model)),
        }
    }
}
