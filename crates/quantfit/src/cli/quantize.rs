//! `quantfit quantize`: the main job.

use super::progress::Terminal;
use super::{FeedingArgs, read_data, say, say_error};
use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use quantfit::data::{METRICS, metric_named};
use quantfit::{
    CommandScorer, DataScorer, Evaluation, MaxDrop, OutputFiles, Report, Scorer, Session,
    accuracy_based_auto_calibration, create_quant_config,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Quantize a model to int8, and keep the accuracy that you ask for
///
/// Example: quantfit quantize model.onnx --calib calib.npz --eval eval.npz --metric top1 --max-drop 1%
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX file
    model: PathBuf,
    /// Calibration data: one array for each model input
    #[arg(long, value_name = "CALIB.npz")]
    calib: PathBuf,
    /// Evaluation data: the same, and `labels`
    #[arg(long, value_name = "EVAL.npz", required_unless_present = "eval_cmd")]
    eval: Option<PathBuf>,
    /// Which layers to quantize, and how; default: all, as `quantfit config` writes it
    #[arg(long, value_name = "C.json")]
    config: Option<PathBuf>,
    /// What is measured on the evaluation data
    #[arg(long, default_value = "top1", value_parser = METRICS.iter().map(|metric| metric.name).collect::<Vec<_>>())]
    metric: String,
    /// How much the metric may fall: absolute as in 0.01, or relative to the original's as in 1%
    #[arg(long, value_name = "DROP", default_value = "0.01", value_parser = MaxDrop::parse)]
    max_drop: MaxDrop,
    #[command(flatten)]
    feeding: FeedingArgs,
    /// Names the layers to roll back: binary-search or worst-first
    #[arg(long, default_value = "binary-search")]
    strategy: String,
    /// Ranks the layers: cosine
    #[arg(long, default_value = "cosine")]
    sensitivity: String,
    /// Measure with a command instead: it is given the path of an ONNX file and prints a number, larger is better
    #[arg(long, value_name = "CMD", conflicts_with = "eval")]
    eval_cmd: Option<String>,
    /// Folder and prefix of the files that are written; default: the model's name, in this folder
    #[arg(long, value_name = "DIR/prefix")]
    save: Option<PathBuf>,
    /// Write a summary as JSON
    #[arg(long, value_name = "SUMMARY.json")]
    json: Option<PathBuf>,
}

/// What the exit code says when no model meets the target.
const TARGET_MISSED: u8 = 2;

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let model = quantfit::load_model(&args.model)?;
    let session = Session::new(&model).with_context(|| args.model.display().to_string())?;
    let feeding = args.feeding.feeding();
    let calibration = read_data(&args.calib)?.feed(session.inputs(), &feeding)?;
    let n_batches = calibration.n_batches();
    let scorer: Box<dyn Scorer> = match (&args.eval_cmd, &args.eval) {
        (Some(command), _) => Box::new(CommandScorer::parse(command)?),
        (None, Some(eval)) => {
            let data = read_data(eval)?;
            let evaluation = data.feed(session.inputs(), &feeding)?;
            Box::new(DataScorer::new(evaluation, &data, metric_named(&args.metric)?)?)
        }
        (None, None) => unreachable!("clap asks for one of them"),
    };
    drop(session);
    let (max_drop, progress) = (args.max_drop, Box::new(Terminal::new()));
    let mut evaluation = Evaluation { calibration, scorer, max_drop, progress };

    let default_folder = tempfile::tempdir()?;
    let config_file = match &args.config {
        Some(config) => config.clone(),
        None => {
            let config = default_folder.path().join("the default configuration");
            create_quant_config(&config, &model, &[], n_batches)?;
            config
        }
    };
    let save = args.save.clone().unwrap_or_else(|| args.model.file_stem().unwrap_or_default().into());
    let record = record_file(&save);
    let files = OutputFiles::new(&save, &record);
    let report = accuracy_based_auto_calibration(
        &model,
        &mut evaluation,
        &config_file,
        &record,
        &save,
        args.strategy.as_str(),
        args.sensitivity.as_str(),
    )?;
    drop(evaluation);
    say(&table(args, &report, &files).to_string());
    if let Some(quantized) = report.outcome.as_ref().filter(|quantized| !quantized.rolled_back.is_empty()) {
        say(&format!("layers in float: {}", quantized.rolled_back.join(", ")));
    }
    written(&files).for_each(|path| say(&format!("wrote {}", path.display())));
    if let Some(path) = &args.json {
        quantfit::write_file(path, (summary(args, &report, &files).to_string() + "\n").as_bytes())?;
    }
    if report.outcome.is_some() {
        return Ok(ExitCode::SUCCESS);
    }
    let least = report.history.iter().min_by(|a, b| a.verdict.loss.total_cmp(&b.verdict.loss));
    let least = least.expect("there is at least the trial with every layer quantized");
    say_error(&format!(
        "no quantization meets the target: with {} of {} layers rolled back the loss is still {:.6} (target {}); see {}",
        least.rolled_back.len(),
        report.layers.len(),
        least.verdict.loss,
        target(args.max_drop),
        files.history.display(),
    ));
    Ok(ExitCode::from(TARGET_MISSED))
}

/// `<prefix>_scale_offset_record.txt`, beside the models.
fn record_file(save: &Path) -> PathBuf {
    let deploy = OutputFiles::new(save, Path::new("")).deploy;
    let name = deploy
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .replace("deploy_model.onnx", "scale_offset_record.txt");
    deploy.with_file_name(name)
}

fn target(max_drop: MaxDrop) -> String {
    match max_drop {
        MaxDrop::Absolute(drop) => drop.to_string(),
        MaxDrop::Relative(drop) => format!("{}%", drop * 100.0),
    }
}

/// The files that this run has left.
fn written(files: &OutputFiles) -> impl Iterator<Item = &Path> {
    files.all().into_iter().filter(|path| path.exists())
}

/// The table at the end.
fn table(args: &Args, report: &Report<f64>, files: &OutputFiles) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let name = if args.eval_cmd.is_some() { "metric" } else { &args.metric };
    table.set_header(["", name, "loss", "layers in int8", "layers in float", "size"]);
    let n_layers = report.layers.len();
    let size = |path: &Path| {
        std::fs::metadata(path).map_or("".to_owned(), |file| format!("{:.1} kB", file.len() as f64 / 1000.0))
    };
    let row = |label: &str, metric: f64, loss: Option<f64>, n_float: usize, size: String| {
        let loss = loss.map_or(String::new(), |loss| format!("{loss:.6}"));
        let [int8, float] = [n_layers - n_float, n_float].map(|n| n.to_string());
        [label.to_owned(), format!("{metric:.6}"), loss, int8, float, size]
    };
    table.add_row(row("original", report.original, None, n_layers, size(&args.model)));
    table.add_row(row(
        "all quantized",
        report.metrics[0],
        Some(report.history[0].verdict.loss),
        0,
        String::new(),
    ));
    if let Some(quantized) = &report.outcome {
        let loss = args.max_drop.judge(report.original, quantized.metric).loss;
        let n_float = quantized.rolled_back.len();
        table.add_row(row("result", quantized.metric, Some(loss), n_float, size(&files.deploy)));
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// The summary that `--json` asks for.
fn summary(args: &Args, report: &Report<f64>, files: &OutputFiles) -> serde_json::Value {
    let trials = report.history.iter().zip(&report.metrics).map(|(trial, metric)| {
        json!({
            "rolled_back": trial.rolled_back,
            "metric": metric,
            "loss": trial.verdict.loss,
            "satisfied": trial.verdict.satisfied,
        })
    });
    json!({
        "model": args.model,
        "original": report.original,
        "all_quantized": report.metrics[0],
        "final": report.outcome.as_ref().map(|quantized| quantized.metric),
        "target_met": report.outcome.is_some(),
        "layers": report.layers,
        "rolled_back": report.outcome.as_ref().map(|quantized| &quantized.rolled_back),
        "trials": trials.collect::<Vec<_>>(),
        "files": written(files).collect::<Vec<_>>(),
    })
}
