//! What measures the latencies of models: a runtime on this machine, or a command for devices elsewhere.

use crate::chosen_runtime::ChosenRuntime;
use crate::data::Feed;
use crate::files::load_model;
use crate::latency::{Budget, Latency, TimedModel, interleaved};
use crate::latency_comparison::LatencyComparison;
use crate::output_files::OutputFiles;
use crate::scorer::CommandScorer;
use intact8_ir::{Model, Result, Runtime};
use intact8_runtimes::LoadedRuntime;
use std::path::Path;
use std::time::Duration;

/// The budget of a measurement: the least of 500 runs of a small model is stable.
const BUDGET: Budget = Budget { time: Duration::from_secs(2), runs: 500 };

/// What measures latencies.
pub enum Meter {
    /// The command of `--bench-cmd`, which prints milliseconds.
    Command(String),
    /// A runtime whose runs have so many threads.
    Runtime(LoadedRuntime, usize),
}

impl Meter {
    /// A runtime whose runs shall have so many threads.
    pub fn in_runtime(runtime: &ChosenRuntime, threads: usize) -> Meter {
        Meter::Runtime(runtime.loaded.clone().with_threads(threads), threads)
    }

    /// The name of the runtime, or the option of the command.
    pub fn name(&self) -> String {
        match self {
            Meter::Command(_) => "--bench-cmd".to_owned(),
            Meter::Runtime(runtime, _) => runtime.name(),
        }
    }

    /// Where or by what it measures, for messages.
    pub fn phrase(&self) -> String {
        let preposition = if matches!(self, Meter::Command(_)) { "by" } else { "in" };
        format!("{preposition} {}", self.name())
    }

    /// The latencies of some models: a runtime runs them in turns, with a batch of the calibration data.
    ///
    /// # Errors
    /// If the runtime can't run a model, or the command fails or prints no number.
    pub fn latencies(&self, models: &[&Model], calibration: &Feed) -> Result<Vec<Latency>> {
        match self {
            Meter::Command(command) => {
                let mut command = CommandScorer::parse(command)?;
                models.iter().map(|model| command.number_of_model(model).map(of_milliseconds)).collect()
            }
            Meter::Runtime(runtime, _) => {
                let inputs = calibration.inputs(calibration.batches().next().unwrap_or_default())?;
                let executors = models.iter().map(|model| runtime.compile(model));
                let executors = executors.collect::<Result<Vec<_>>>()?;
                let timed =
                    executors.iter().map(|executor| TimedModel { executor: &**executor, inputs: &inputs });
                interleaved(&timed.collect::<Vec<_>>(), BUDGET, &mut || Ok(()))
            }
        }
    }

    /// The latencies of the original and of the first deploy model in `files`. `path` is the original's file, for a command.
    ///
    /// # Errors
    /// If the deploy model can't be read, or as [`Meter::latencies`].
    pub fn compare(
        &self,
        (model, path): (&Model, Option<&Path>),
        files: &OutputFiles,
        calibration: &Feed,
    ) -> Result<LatencyComparison> {
        let deploy = files.first_deploy();
        let (latencies, threads_and_batch) = match self {
            Meter::Command(command) => {
                let mut command = CommandScorer::parse(command)?;
                let float = match path {
                    Some(path) => command.number(path)?,
                    None => command.number_of_model(model)?,
                };
                (vec![of_milliseconds(float), of_milliseconds(command.number(deploy)?)], None)
            }
            Meter::Runtime(_, threads) => {
                let samples = calibration.batches().next().unwrap_or_default();
                let latencies = self.latencies(&[model, &load_model(deploy)?], calibration)?;
                (latencies, Some((*threads, calibration.n_fed(&samples))))
            }
        };
        Ok(LatencyComparison {
            measured_by: self.name(),
            threads_and_batch,
            float: latencies[0],
            int8: latencies[1],
        })
    }
}

fn of_milliseconds(milliseconds: f64) -> Latency {
    Latency::of(vec![milliseconds / 1e3])
}
