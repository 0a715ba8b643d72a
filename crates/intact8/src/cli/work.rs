//! `intact8 work`: runs parts of the trials of another process.

use super::values::{self, checked};
use super::{ExitCode, FeedingArgs, LoadArgs, MemoryArgs, print_message, print_result};
use anyhow::Context;
use intact8::data::{DataSet, Metric, check_options};
use intact8::{DataScorer, Goal, Interpreter, OriginalModel, ScoreTask, model_sha256};
use std::path::PathBuf;
use std::sync::Arc;

/// Run parts of the trials of `intact8 quantize --workers`, until it ends
///
/// It may be started before or after, any number of times and on any machines that reach the folder. A worker that dies delays the run
/// and changes nothing.
///
/// Example: intact8 work /shared/run1 model.onnx --eval eval.npz --metric top1
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder that `--workers` names
    folder: PathBuf,
    /// The ONNX file
    model: PathBuf,
    #[command(flatten)]
    load: LoadArgs,
    /// Evaluation data, those of the run
    #[arg(long, value_name = "EVAL", help_heading = "Data")]
    eval: PathBuf,
    #[command(flatten)]
    feeding: FeedingArgs,
    /// Metric, those of the run in the same order; goals are ignored
    #[arg(long = "metric", value_name = "METRIC", default_value = "top1", help_heading = "Accuracy", value_parser = checked(values::metric))]
    metrics: Vec<String>,
    #[command(flatten)]
    memory: MemoryArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let parsed = args.metrics.iter().map(|text| values::metric(text));
    let parsed: Vec<(Metric, Goal)> = parsed.collect::<intact8::Result<_>>()?;
    let metrics: Vec<Metric> = parsed.into_iter().map(|(metric, _)| metric).collect();
    let feeding = args.feeding.feeding()?;
    let limits = args.memory.limits()?;
    let model = args.load.model(&args.model)?;
    let data = DataSet::read_for(&args.eval, &model, &feeding)?;
    let feed = data.feed(&model, &feeding)?;
    check_options([&feed])?;
    feed.check_memory(limits.memory)?;
    let original = OriginalModel::new(Arc::new(Interpreter::with_limits(limits)), &model)
        .with_context(|| args.model.display().to_string())?;
    let scorer = DataScorer::new(original, feed, &data, metrics.clone())?;
    let task = ScoreTask::new(vec![model_sha256(&args.model, &model)?], &metrics, (&scorer, &data), None)?;
    print_message(&format!("waiting for work in {}", args.folder.display()));
    let n_chunks = scorer.work(&args.folder, &task)?;
    print_result(&format!("{n_chunks} pieces of work done"));
    Ok(ExitCode::SUCCESS)
}
