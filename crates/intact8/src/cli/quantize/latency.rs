//! The latency of the original and of the result, measured at the end of a search.

use super::Args;
use crate::cli::{ChosenRuntime, print_message};
use intact8::data::Feed;
use intact8::ir::Runtime;
use intact8::runtimes::LoadedRuntime;
use intact8::{
    CommandScorer, Latency, Model, OutputFiles, Report, Score, TimedModel, interleaved, load_model,
};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// The time of the measurement.
const BUDGET: Duration = Duration::from_secs(2);

/// The largest latency of the result, relative to that of the original.
const SLOWEST: f64 = 1.02;

/// The latencies of the original and of the first deploy model.
pub(super) struct Comparison {
    /// What has measured them: a runtime, or the option of a command.
    measured_by: String,
    /// Threads and batch, if a runtime has measured them.
    threads_and_batch: Option<(usize, usize)>,
    float: Latency,
    int8: Latency,
}

impl Comparison {
    pub(super) fn line(&self) -> String {
        let settings = self.threads_and_batch.map(|(threads, batch)| {
            format!(", {threads} thread{}, batch {batch}", if threads == 1 { "" } else { "s" })
        });
        format!(
            "{}{}: {:.2} ms float, {:.2} ms int8 ({:.2}x)",
            self.measured_by,
            settings.unwrap_or_default(),
            self.float.least * 1e3,
            self.int8.least * 1e3,
            self.int8.speedup_over(&self.float),
        )
    }

    /// Whether the result is slower than the original.
    pub(super) fn is_slower(&self) -> bool {
        self.int8.least > SLOWEST * self.float.least
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "measured_by": self.measured_by,
            "threads": self.threads_and_batch.map(|(threads, _)| threads),
            "batch": self.threads_and_batch.map(|(_, batch)| batch),
            "float": self.float.to_json(),
            "int8": self.int8.to_json(),
            "speedup": self.int8.speedup_over(&self.float),
        })
    }
}

/// What measures latencies.
pub(super) enum Meter<'a> {
    /// The command of `--bench-cmd`.
    Command(&'a str),
    /// A runtime whose runs have so many threads.
    Runtime(LoadedRuntime, u16),
}

impl<'a> Meter<'a> {
    /// The command, or else the runtime; `None` if there is neither, or nothing shall be measured.
    pub(super) fn of(args: &'a Args, runtime: Option<&ChosenRuntime>) -> Option<Meter<'a>> {
        match &args.bench_cmd {
            _ if args.no_bench => None,
            Some(command) => Some(Meter::Command(command)),
            None => {
                let on_threads = |runtime: &ChosenRuntime| runtime.on_threads(args.threads);
                runtime.map(|runtime| Meter::Runtime(on_threads(runtime), args.threads))
            }
        }
    }

    fn name(&self) -> String {
        match self {
            Meter::Command(_) => "--bench-cmd".to_owned(),
            Meter::Runtime(runtime, _) => runtime.name(),
        }
    }

    /// Where or by what it measures, for messages.
    pub(super) fn phrase(&self) -> String {
        let preposition = if matches!(self, Meter::Command(_)) { "by" } else { "in" };
        format!("{preposition} {}", self.name())
    }

    /// The latencies of some models: a runtime runs them in turns, with a batch of the calibration data.
    pub(super) fn latencies(&self, models: &[&Model], calibration: &Feed) -> intact8::Result<Vec<Latency>> {
        match self {
            Meter::Command(command) => {
                let mut command = CommandScorer::parse(command)?;
                models.iter().map(|model| command.number_of_model(model).map(of_milliseconds)).collect()
            }
            Meter::Runtime(runtime, _) => {
                let inputs = calibration.inputs(calibration.batches().next().unwrap_or_default())?;
                let executors = models.iter().map(|model| runtime.compile(model));
                let executors = executors.collect::<intact8::Result<Vec<_>>>()?;
                let timed =
                    executors.iter().map(|executor| TimedModel { executor: &**executor, inputs: &inputs });
                interleaved(&timed.collect::<Vec<_>>(), BUDGET)
            }
        }
    }

    fn threads_and_batch(&self, calibration: &Feed) -> Option<(usize, usize)> {
        match self {
            Meter::Command(_) => None,
            Meter::Runtime(_, threads) => {
                let samples = calibration.batches().next().unwrap_or_default();
                Some((usize::from(*threads), calibration.n_fed(&samples)))
            }
        }
    }
}

fn latencies_of_files(command: &str, paths: &[&Path]) -> intact8::Result<Vec<Latency>> {
    let mut command = CommandScorer::parse(command)?;
    paths.iter().map(|path| command.number(path).map(of_milliseconds)).collect()
}

fn of_milliseconds(milliseconds: f64) -> Latency {
    Latency::of(vec![milliseconds / 1e3])
}

/// The latencies of the original and the first deploy model. `None` if nothing measures them, or there is no result; a failure is printed.
pub(super) fn measured(
    meter: Option<&Meter<'_>>,
    (path, model): (&Path, &Model),
    report: &Report<Score>,
    files: &OutputFiles,
    calibration: &Feed,
) -> Option<Comparison> {
    report.outcome.as_ref().filter(|_| files.first_deploy().exists())?;
    let meter = meter?;
    let compare = || -> intact8::Result<Comparison> {
        let latencies = match meter {
            Meter::Command(command) => latencies_of_files(command, &[path, files.first_deploy()])?,
            Meter::Runtime(..) => {
                meter.latencies(&[model, &load_model(files.first_deploy())?], calibration)?
            }
        };
        Ok(Comparison {
            measured_by: meter.name(),
            threads_and_batch: meter.threads_and_batch(calibration),
            float: latencies[0],
            int8: latencies[1],
        })
    };
    compare().map_err(|error| print_message(&format!("warning: the latency is not measured: {error}"))).ok()
}
