//! What measures the latencies of models: a runtime on this machine, or a command for devices elsewhere.

use crate::chosen_runtime::ChosenRuntime;
use crate::data::Feed;
use crate::files::load_model;
use crate::latency::{Budget, Latency, TimedModel, interleaved};
use crate::latency_comparison::{LatencyComparison, LatencyPair};
use crate::output_files::OutputFiles;
use crate::scorer::CommandScorer;
use crate::stop::Stop;
use intact8_ir::{Error, Model, Result};
use intact8_runtimes::{LoadedRuntime, ProfiledNode};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

/// The budget of a measurement: the least of 500 runs of a small model is stable.
const BUDGET: Budget = Budget { time: Duration::from_secs(2), runs: 500 };

/// The time of a profile.
const PROFILED: Duration = Duration::from_millis(200);

/// What measures latencies.
pub struct Meter {
    kind: MeterKind,
    /// Ends a measurement when the user cancels the run.
    stop: Stop,
}

enum MeterKind {
    /// A command that prints milliseconds.
    Command(String),
    /// A runtime whose runs have so many threads.
    Runtime(LoadedRuntime, usize),
}

impl Meter {
    /// The command of `--bench-cmd`, which receives the path of a model and prints milliseconds.
    pub fn by_command(command: String, stop: Stop) -> Meter {
        Meter { kind: MeterKind::Command(command), stop }
    }

    /// A runtime whose runs shall have so many threads.
    pub fn in_runtime(runtime: &ChosenRuntime, threads: usize, stop: Stop) -> Meter {
        let runtime = runtime.loaded.clone().with_threads(threads);
        Meter { kind: MeterKind::Runtime(runtime, threads), stop }
    }

    /// The name of the runtime, or the option of the command.
    pub fn name(&self) -> String {
        match &self.kind {
            MeterKind::Command(_) => "--bench-cmd".to_owned(),
            MeterKind::Runtime(runtime, _) => runtime.name(),
        }
    }

    /// Where or by what it measures, for messages.
    pub fn phrase(&self) -> String {
        let preposition = if matches!(self.kind, MeterKind::Command(_)) { "by" } else { "in" };
        format!("{preposition} {}", self.name())
    }

    /// The latencies of some models with a batch of the calibration data: a runtime runs them in turns.
    ///
    /// # Errors
    /// If the runtime can't run a model, or the command fails or prints no number.
    pub fn latencies(&self, models: &[&Model], calibration: &Feed) -> Result<Vec<Latency>> {
        let first = calibration.batches().next().unwrap_or_default();
        Ok(self.latencies_of(models, calibration, &[first])?.remove(0))
    }

    /// The same, and with one sample too where nothing states the size of a batch, unless a command measures; by batch.
    ///
    /// # Errors
    /// As [`Meter::latencies`].
    pub(crate) fn latencies_by_batch(
        &self,
        models: &[&Model],
        calibration: &Feed,
    ) -> Result<Vec<Vec<Latency>>> {
        self.latencies_of(models, calibration, &calibration.measured_batches())
    }

    fn latencies_of(
        &self,
        models: &[&Model],
        calibration: &Feed,
        batches: &[Range<usize>],
    ) -> Result<Vec<Vec<Latency>>> {
        match &self.kind {
            MeterKind::Command(command) => {
                let mut command = self.command(command)?;
                let latency = |model: &&Model| {
                    let milliseconds = command.number_of_model(model)?;
                    of_milliseconds(&command, milliseconds)
                };
                Ok(vec![models.iter().map(latency).collect::<Result<_>>()?])
            }
            MeterKind::Runtime(runtime, _) => {
                let in_turns = |samples: &Range<usize>| {
                    let inputs = calibration.inputs(samples.clone())?;
                    let timed = models.iter().map(|model| TimedModel { runtime, model, inputs: &inputs });
                    interleaved(&timed.collect::<Vec<_>>(), BUDGET, &mut || self.stop.check())
                };
                batches.iter().map(in_turns).collect()
            }
        }
    }

    /// The profile of a model, and the number of samples of its runs: those of a batch of the calibration data. `None` if nothing is
    /// profiled: by a command, or a runtime whose profiler is not read.
    ///
    /// # Errors
    /// If the runtime can't run the model.
    pub fn profile(&self, model: &Model, calibration: &Feed) -> Result<Option<(Vec<ProfiledNode>, usize)>> {
        let MeterKind::Runtime(runtime, _) = &self.kind else { return Ok(None) };
        let samples = calibration.batches().next().unwrap_or_default();
        let n_samples = calibration.n_fed(&samples);
        let profile = runtime.profile(model, &calibration.inputs(samples)?, PROFILED)?;
        Ok(profile.map(|nodes| (nodes, n_samples)))
    }

    /// The latencies of the original and of the first deploy model in `files`. `path` is the original's file, for a command. They are
    /// measured again if the deploy model is slower, since other processes may have disturbed it.
    ///
    /// # Errors
    /// If the deploy model can't be read, or as [`Meter::latencies`].
    pub fn compare(
        &self,
        original: (&Model, Option<&Path>),
        files: &OutputFiles,
        calibration: &Feed,
    ) -> Result<LatencyComparison> {
        let found = self.compare_once(original, files, calibration)?;
        match found.is_slower() {
            true => Ok(found.least(self.compare_once(original, files, calibration)?)),
            false => Ok(found),
        }
    }

    fn compare_once(
        &self,
        (model, path): (&Model, Option<&Path>),
        files: &OutputFiles,
        calibration: &Feed,
    ) -> Result<LatencyComparison> {
        let deploy = files.first_deploy();
        let (latencies, threads_and_batch) = match &self.kind {
            MeterKind::Command(command) => {
                let mut command = self.command(command)?;
                let float = match path {
                    Some(path) => command.number(path)?,
                    None => command.number_of_model(model)?,
                };
                let int8 = command.number(deploy)?;
                let pair = vec![of_milliseconds(&command, float)?, of_milliseconds(&command, int8)?];
                (vec![pair], None)
            }
            MeterKind::Runtime(_, threads) => {
                let samples = calibration.batches().next().unwrap_or_default();
                let latencies = self.latencies_by_batch(&[model, &load_model(deploy)?], calibration)?;
                (latencies, Some((*threads, calibration.n_fed(&samples))))
            }
        };
        let mut pairs = latencies.into_iter().map(|pair| LatencyPair { float: pair[0], int8: pair[1] });
        let first = pairs.next();
        Ok(LatencyComparison {
            measured_by: self.name(),
            threads_and_batch,
            of_batch: first.ok_or_else(|| Error::invalid_data("there is no sample to measure with"))?,
            of_sample: pairs.next(),
        })
    }

    fn command(&self, line: &str) -> Result<CommandScorer> {
        let mut command = CommandScorer::parse(line)?;
        command.stop = self.stop.clone();
        Ok(command)
    }
}

fn of_milliseconds(command: &CommandScorer, milliseconds: f64) -> Result<Latency> {
    match milliseconds > 0.0 {
        true => Ok(Latency::of(vec![milliseconds / 1e3])),
        false => {
            Err(Error::evaluator(format!("must print milliseconds, a positive number, found {milliseconds}"))
                .at(command.command.join(" ")))
        }
    }
}
