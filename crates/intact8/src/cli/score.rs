//! `intact8 score`: the metrics of model files, each compared with the first.

use super::calibrate;
use super::progress::Terminal;
use super::usage_error::{OrUsage, UsageError};
use super::values::{self, checked};
use super::{
    ExitCode, FeedingArgs, LoadArgs, MemoryArgs, MessageArgs, RuntimeArgs, check_once, has_goal,
    lines_beside, print_fed, print_line, print_message, print_notes, print_result, print_surplus_threads,
};
use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use intact8::data::{DataSet, Metric};
use intact8::{
    AnswerChanges, Confidence, DataScorer, Goal, Interpreter, Latency, Meter, OriginalModel, Progress, Score,
    ScoreFile, ScoreTask, Stop, interval_of_difference, interval_of_value, model_bytes, model_sha256,
    score_saved, stored_arithmetic,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Score model files on labelled data, and compare each with the first
///
/// A row for each file: its metrics with the interval of the difference from the first file's; the answers that only one of the two has
/// right, with the probability that such changes are chance (McNemar's test); its convolutions and products in int8, with only
/// weights in int8, and in float; its size; and its latency, if a runtime is found.
///
/// Example: intact8 score model.onnx out/model_deploy_model.onnx --eval eval.npz --metric top1
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX files
    #[arg(required = true)]
    models: Vec<PathBuf>,
    #[command(flatten)]
    load: LoadArgs,
    /// Evaluation data: one array for each model input, and `labels` or `targets`; or images of labelled classes: docs/your-data.md
    #[arg(long, value_name = "EVAL", help_heading = "Data")]
    eval: PathBuf,
    #[command(flatten)]
    feeding: FeedingArgs,
    /// Run only this shard of the samples, 1/8 to 8/8 or auto, and write it to the file of --output; `intact8 merge` merges the shards
    #[arg(long, value_name = "I/N", help_heading = "Shards", requires = "output", conflicts_with_all = ["json", "no_bench", "threads"])]
    #[arg(value_parser = checked(calibrate::shard))]
    shard: Option<String>,
    /// The file of the shard
    #[arg(short = 'o', long, value_name = "PART.score", help_heading = "Shards", requires = "shard")]
    output: Option<PathBuf>,
    /// Run nothing: the shards of these models and data are merged in this file
    #[arg(long, value_name = "ALL.score", help_heading = "Shards", conflicts_with = "shard")]
    scores: Option<PathBuf>,
    /// Metric: top1, top5, miou, auc, ap, spearman, mse, cosine, sqnr or psnr; may be repeated
    #[arg(long = "metric", value_name = "METRIC", default_value = "top1", help_heading = "Accuracy", value_parser = checked(values::metric))]
    metrics: Vec<String>,
    /// The level of the intervals
    #[arg(long, value_name = "0.95", default_value = "0.95", help_heading = "Accuracy", value_parser = checked(Confidence::parse))]
    confidence: String,
    #[command(flatten)]
    runtime: RuntimeArgs,
    /// Threads of a run whose latency is measured
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Measure no latency
    #[arg(long, conflicts_with = "threads")]
    no_bench: bool,
    /// Write the rows to this file as well; `-` is the standard output
    #[arg(long, value_name = "OUT.json", help_heading = "Output")]
    json: Option<PathBuf>,
    #[command(flatten)]
    messages: MessageArgs,
    #[command(flatten)]
    memory: MemoryArgs,
}

/// A scored file.
struct Row<'a> {
    path: &'a Path,
    score: Score,
    bytes: u64,
    latency: Option<Latency>,
    layers: intact8::LayerCounts,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    lines_beside(args.json.iter());
    let mut progress = Terminal::new(args.messages.apply(), args.messages.verbose);
    let parsed = args.metrics.iter().map(|text| values::metric(text));
    let (metrics, _): (Vec<Metric>, Vec<Goal>) =
        parsed.collect::<intact8::Result<Vec<_>>>()?.into_iter().unzip();
    if let Some(goal) = args.metrics.iter().find(|text| has_goal(text)) {
        let message = format!("metric {goal:?}: has a goal, and score judges nothing; name the metric alone");
        return Err(UsageError::new(message).into());
    }
    check_once(&metrics).or_usage()?;
    let confidence = Confidence::parse(&args.confidence)?;
    let limits = args.memory.limits()?;
    let feeding = args.feeding.feeding()?;
    let runtime = args.runtime.given()?;
    print_surplus_threads(args.threads);
    let of_path = |path: &PathBuf| args.load.model(path);
    let models = args.models.iter().map(of_path).collect::<intact8::Result<Vec<_>>>()?;
    let first = models.first().context("there is a model")?;
    let data = DataSet::read_for(&args.eval, first, &feeding)?;
    let feed = data.feed(first, &feeding)?;
    feed.check_memory(limits.memory)?;
    match args.shard.is_none() && args.scores.is_none() {
        true => print_fed(&feed)?,
        // Ranges would need all samples.
        false => print_notes(&[&feed])?,
    }
    let original = OriginalModel::new(Arc::new(Interpreter::with_limits(limits)), first)
        .with_context(|| args.models[0].display().to_string())?;
    let mut scorer = DataScorer::new(original, feed.clone(), &data, metrics.clone())?;
    if let Some(runtime) = &runtime {
        scorer = scorer.in_runtime(runtime.loaded.clone(), &runtime.loaded.name(), first);
    }
    let shard = args.shard.as_deref().map(calibrate::shard).transpose()?;
    let mut task = None;
    if shard.is_some() || args.scores.is_some() {
        let hashes = args.models.iter().zip(&models).map(|(path, model)| model_sha256(path, model));
        let hashes = hashes.collect::<intact8::Result<_>>()?;
        let runtime = runtime.as_ref().map(|runtime| runtime.loaded.name());
        task = Some(ScoreTask::new(hashes, &metrics, (&scorer, &data), runtime)?);
    }
    if let (Some(shard), Some(task), Some(output)) = (shard, &task, &args.output) {
        progress.begin(&format!("scoring shard {shard}"));
        task.write_shard(&mut scorer, &models, (shard, output), &mut |done, total| {
            progress.advance(done, total);
            Ok(())
        })?;
        drop(progress);
        print_result(&format!("shard {shard} of a scoring"));
        return Ok(ExitCode::SUCCESS);
    }
    let known =
        args.scores.as_ref().zip(task).map(|(path, task)| ScoreFile::read(path, &task)).transpose()?;
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (idx, (path, model)) in args.models.iter().zip(&models).enumerate() {
        progress.begin(&format!("scoring {}", path.display()));
        let earlier = rows.first().map(|row| &row.score);
        let score = match &known {
            Some(known) => known.score(idx, &mut scorer, earlier, (path, model)),
            None => score_saved(&mut scorer, earlier, (path, model), &mut |done, total| {
                progress.advance(done, total);
                Ok(())
            }),
        };
        let score = score.with_context(|| path.display().to_string())?;
        let (bytes, layers) = (model_bytes(path, model), stored_arithmetic(model));
        rows.push(Row { path, score, bytes, latency: None, layers });
    }
    let meter = match args.no_bench {
        true => None,
        false => match runtime {
            Some(runtime) => Some(runtime),
            None => RuntimeArgs::default().any()?,
        },
    };
    let meter = meter.map(|runtime| Meter::in_runtime(&runtime, args.threads.into(), Stop::default()));
    if let Some(meter) = &meter {
        progress.begin("measuring latencies");
        match meter.latencies(&models.iter().collect::<Vec<_>>(), &feed) {
            Ok(latencies) => {
                rows.iter_mut().zip(latencies).for_each(|(row, latency)| row.latency = Some(latency));
            }
            Err(error) => print_message(&format!("warning: the latency is not measured: {error}")),
        }
    }
    drop(progress);
    print_result(&table(&rows, &metrics, confidence).to_string());
    if let Some(meter) = meter.filter(|_| rows.iter().any(|row| row.latency.is_some())) {
        print_line(&format!("latencies {}, {} threads", meter.phrase(), args.threads));
    }
    if let Some(path) = &args.json {
        let report = json!({ "files": rows.iter().map(|row| row.to_json(&rows[0], &metrics, confidence)).collect::<Vec<_>>() });
        intact8::write_file(path, (serde_json::to_string_pretty(&report)? + "\n").as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(rows: &[Row<'_>], metrics: &[Metric], confidence: Confidence) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut header = vec!["file".to_owned()];
    for metric in metrics {
        header.push(metric.name.clone());
        header.push(format!("{} interval of the difference", confidence.shown()));
    }
    header.extend(["answers", "int8", "weights only", "float", "size", "ms"].map(str::to_owned));
    table.set_header(header);
    for (idx, row) in rows.iter().enumerate() {
        let mut cells = vec![row.path.display().to_string()];
        for (metric_idx, metric) in metrics.iter().enumerate() {
            cells.push(format!("{:.6}", row.score.values[metric_idx]));
            let ends = row.difference(&rows[0], (metric_idx, metric), confidence).filter(|_| idx > 0);
            cells.push(ends.map_or(String::new(), |[low, high]| format!("{low:+.6} to {high:+.6}")));
        }
        let changes = row.changes(&rows[0]).filter(|_| idx > 0);
        cells.push(changes.map_or(String::new(), |changes| {
            let p_value = match changes.p_value() {
                least if least < 0.01 => "p < 0.01".to_owned(),
                p_value => format!("p {p_value:.2}"),
            };
            format!("+{} -{} ({p_value})", changes.gained, changes.lost)
        }));
        cells.extend([row.layers.int8, row.layers.weights_only, row.layers.float].map(|n| n.to_string()));
        cells.push(format!("{:.1} kB", row.bytes as f64 / 1000.0));
        cells.push(row.latency.map_or(String::new(), |latency| format!("{:.3}", latency.least * 1e3)));
        table.add_row(cells);
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

impl Row<'_> {
    /// The interval of the difference of a metric from the first file's.
    fn difference(
        &self,
        first: &Row<'_>,
        (idx, metric): (usize, &Metric),
        confidence: Confidence,
    ) -> Option<[f64; 2]> {
        let noise = self.score.noise.get(idx)?;
        let difference = self.score.values[idx] - first.score.values[idx];
        Some(interval_of_difference(difference, noise.of_difference, confidence, metric.bounds()))
    }

    /// The answers that changed against the first file, by the first metric.
    fn changes(&self, first: &Row<'_>) -> Option<AnswerChanges> {
        AnswerChanges::between(first.score.contributions.first()?, self.score.contributions.first()?)
    }

    fn to_json(&self, first: &Row<'_>, metrics: &[Metric], confidence: Confidence) -> Value {
        let metric = |(idx, metric): (usize, &Metric)| {
            json!({
                "metric": metric.name,
                "value": self.score.values[idx],
                "interval": interval_of_value(idx, &self.score, confidence, metric.bounds()).map(|(_, ends)| ends),
                "difference": self.difference(first, (idx, metric), confidence),
            })
        };
        let changes = self.changes(first).map(
            |changes| json!({ "gained": changes.gained, "lost": changes.lost, "p_value": changes.p_value() }),
        );
        json!({
            "file": self.path.display().to_string(),
            "metrics": metrics.iter().enumerate().map(metric).collect::<Vec<_>>(),
            "changed_answers": changes,
            "layers": {
                "int8": self.layers.int8,
                "weights_only": self.layers.weights_only,
                "float": self.layers.float,
            },
            "bytes": self.bytes,
            "latency": self.latency.map(|latency| latency.to_json()),
        })
    }
}
