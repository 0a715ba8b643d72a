//! The latency of the original and of the result, measured at the end of a search.

use super::Args;
use crate::cli::{ChosenRuntime, print_message};
use intact8::data::Feed;
use intact8::ir::Runtime;
use intact8::{
    CommandScorer, Latency, Model, OutputFiles, Report, Score, TimedModel, interleaved, load_model,
};
use serde_json::{Value, json};
use std::time::Duration;

/// The time of the measurement.
const BUDGET: Duration = Duration::from_secs(2);

/// The number of threads of each run.
pub(super) const THREADS: usize = 1;

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

/// The latencies, by the command of `--bench-cmd`, or in the runtime on one thread with a batch of the calibration data. `None` if
/// there is neither, or no result; a failure is printed.
pub(super) fn measured(
    args: &Args,
    runtime: Option<&ChosenRuntime>,
    model: &Model,
    report: &Report<Score>,
    files: &OutputFiles,
    calibration: &Feed,
) -> Option<Comparison> {
    report.outcome.as_ref().filter(|_| !args.no_bench && files.first_deploy().exists())?;
    let measured = match (&args.bench_cmd, runtime) {
        (Some(command), _) => by_command(args, command, files),
        (None, Some(runtime)) => in_runtime(runtime, model, files, calibration),
        (None, None) => return None,
    };
    measured.map_err(|error| print_message(&format!("warning: the latency is not measured: {error}"))).ok()
}

fn in_runtime(
    runtime: &ChosenRuntime,
    model: &Model,
    files: &OutputFiles,
    calibration: &Feed,
) -> intact8::Result<Comparison> {
    let one_thread = runtime.loaded.clone().with_threads(THREADS);
    let samples = calibration.batches().next().unwrap_or_default();
    let batch = calibration.n_fed(&samples);
    let inputs = calibration.inputs(samples)?;
    let executors = [one_thread.compile(model)?, one_thread.compile(&load_model(files.first_deploy())?)?];
    let models = executors.each_ref().map(|executor| TimedModel { executor: &**executor, inputs: &inputs });
    let latencies = interleaved(&models, BUDGET)?;
    Ok(Comparison {
        measured_by: one_thread.name(),
        threads_and_batch: Some((THREADS, batch)),
        float: latencies[0],
        int8: latencies[1],
    })
}

fn by_command(args: &Args, command: &str, files: &OutputFiles) -> intact8::Result<Comparison> {
    let mut command = CommandScorer::parse(command)?;
    let mut measure = |path| command.number(path).map(|milliseconds| Latency::of(vec![milliseconds / 1e3]));
    Ok(Comparison {
        measured_by: "--bench-cmd".to_owned(),
        threads_and_batch: None,
        float: measure(&args.model)?,
        int8: measure(files.first_deploy())?,
    })
}
