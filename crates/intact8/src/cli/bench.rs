//! `intact8 bench`: the latencies of models, measured in turns.

use super::{
    FeedingArgs, LoadArgs, RuntimeArgs, ShapeArgs, lines_beside, print_line, print_message,
    print_surplus_threads, timed_inputs,
};
use crate::cli::ExitCode;
use crate::cli::values::{self, checked};
use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use intact8::ir::{Model, Runtime};
use intact8::{Budget, ChosenRuntime, Interpreter, Latency, Tensor, TimedModel, interleaved, machine_limits};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Measure the latencies of models
///
/// The models run in turns in one process, each on one batch, and in each of the runtimes. The table has the least time, the median
/// and the distance between the quartiles in milliseconds, and how many times as fast as the first row each is, by the least times. Without --input the
/// models are fed random numbers of a fixed seed: floats from 0 to 1, and the integers 0 and 1.
///
/// Example: intact8 bench model.onnx model_deploy_model.onnx --runtime onnxruntime --threads 1 --batch 8
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX files
    #[arg(required = true)]
    models: Vec<PathBuf>,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    shapes: ShapeArgs,
    /// Runtime that runs the models: onnxruntime or openvino, also with the path of its library, or of a folder or Python environment
    /// with it; or none, for our interpreter; may be repeated; default: the first that is found
    #[arg(long = "runtime", value_name = "NAME[=PATH]", value_parser = checked(values::runtime))]
    runtimes: Vec<String>,
    /// Number of threads of a run
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Data whose first batch is fed: one array for each model input, named as the input; or a folder with a file for each sample
    /// or batch
    #[arg(long, value_name = "DATA")]
    input: Option<PathBuf>,
    #[command(flatten)]
    feeding: FeedingArgs,
    /// Seconds for each model in each runtime
    #[arg(long, value_name = "S", default_value = "2", value_parser = values::seconds)]
    seconds: f64,
    /// Write the latencies to this file as well
    #[arg(long, value_name = "OUT.json")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    lines_beside(args.json.iter());
    let threads = usize::from(args.threads);
    let feeding = args.feeding.feeding()?;
    print_surplus_threads(args.threads);
    let runtimes = TimedRuntime::all(&args.runtimes, threads)?;
    let budget = args.seconds * (args.models.len() * runtimes.len()) as f64;
    let budget = Duration::try_from_secs_f64(budget).unwrap_or(Duration::MAX);
    let mut timed: Vec<Timed<'_>> = Vec::new();
    let mut batch = None;
    for path in &args.models {
        let mut model = args.load.model(path)?;
        args.shapes.apply(&mut model)?;
        let found = timed_inputs(args.input.as_deref(), &feeding, &model);
        let (inputs, n_samples) = found.with_context(|| path.display().to_string())?;
        batch = batch.or(n_samples);
        for runtime in &runtimes {
            // An error is that of this file.
            let executor = runtime.runtime.compile(&model).with_context(|| path.display().to_string())?;
            executor.run(&inputs).with_context(|| path.display().to_string())?;
            timed.push(Timed { path, runtime, model: model.clone(), inputs: inputs.clone() });
        }
    }
    print_other_inputs(&timed);
    let models = timed.iter().map(|row| TimedModel {
        runtime: &*row.runtime.runtime,
        model: &row.model,
        inputs: &row.inputs,
    });
    let latencies = interleaved(&models.collect::<Vec<_>>(), Budget::of_time(budget), &mut || Ok(()))?;
    let names: Vec<&str> = runtimes.iter().map(|runtime| &*runtime.name).collect();
    print_line(&format!(
        "{}, {threads} thread{}{}{}",
        names.join(" and "),
        if threads == 1 { "" } else { "s" },
        batch.map_or(String::new(), |batch| format!(", batch {batch}")),
        if args.input.is_some() { "" } else { ", random inputs" }
    ));
    print_line(&table(&timed, &latencies, runtimes.len() > 1).to_string());
    if let Some(path) = &args.json {
        let of_model = |(row, latency): (&Timed<'_>, &Latency)| {
            let mut value = latency.to_json();
            value["model"] = json!(row.path.display().to_string());
            value["runtime"] = json!(row.runtime.name);
            value["speedup"] = json!(latency.speedup_over(&latencies[0]));
            value
        };
        let models: Vec<_> = timed.iter().zip(&latencies).map(of_model).collect();
        let report = json!({ "threads": threads, "batch": batch, "models": models });
        intact8::write_file(path, (serde_json::to_string_pretty(&report)? + "\n").as_bytes())?;
        print_line(&format!("wrote {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// A runtime that is measured.
struct TimedRuntime {
    runtime: Box<dyn Runtime>,
    name: String,
}

impl TimedRuntime {
    /// The runtimes that the options name, or the one without an option.
    fn all(options: &[String], threads: usize) -> anyhow::Result<Vec<TimedRuntime>> {
        let chosen = match options {
            [] => vec![RuntimeArgs::default().any()?],
            options => {
                let given = |option: &String| RuntimeArgs { runtime: Some(option.clone()) }.given();
                options.iter().map(given).collect::<anyhow::Result<_>>()?
            }
        };
        if chosen.iter().any(Option::is_none) {
            // It fails only if there is a pool already.
            drop(rayon::ThreadPoolBuilder::new().num_threads(threads).build_global());
        }
        Ok(chosen.into_iter().map(|chosen| TimedRuntime::of(chosen, threads)).collect())
    }

    /// A runtime of others, or our interpreter.
    fn of(chosen: Option<ChosenRuntime>, threads: usize) -> TimedRuntime {
        match chosen {
            Some(chosen) => {
                let (name, loaded) = (chosen.loaded.name(), chosen.loaded.with_threads(threads));
                TimedRuntime { runtime: Box::new(loaded), name }
            }
            None => TimedRuntime {
                runtime: Box::new(Interpreter::with_limits(machine_limits())),
                name: "the interpreter of intact8".to_owned(),
            },
        }
    }
}

/// A model in a runtime: a row of the table.
struct Timed<'a> {
    path: &'a Path,
    runtime: &'a TimedRuntime,
    model: Model,
    inputs: Vec<Tensor>,
}

/// Warns of a model that is fed other shapes than the first, so that its time is that of other work.
fn print_other_inputs(timed: &[Timed<'_>]) {
    let shapes = |row: &Timed<'_>| row.inputs.iter().map(|input| input.shape().to_vec()).collect::<Vec<_>>();
    let Some((first, rest)) = timed.split_first() else { return };
    if let Some(other) = rest.iter().find(|row| shapes(row) != shapes(first)) {
        print_message(&format!(
            "warning: {} is fed {:?}, and {} is fed {:?}; their times are not those of the same work",
            first.path.display(),
            shapes(first),
            other.path.display(),
            shapes(other)
        ));
    }
}

fn table(timed: &[Timed<'_>], latencies: &[Latency], has_runtimes: bool) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut header = vec!["model", "least ms", "median ms", "spread ms", "runs", "speedup"];
    if has_runtimes {
        header.insert(1, "runtime");
    }
    let n_texts = header.len() - 5;
    table.set_header(header);
    for (row, latency) in timed.iter().zip(latencies) {
        let milliseconds = |seconds: f64| format!("{:.3}", seconds * 1e3);
        let mut cells = vec![
            row.path.display().to_string(),
            milliseconds(latency.least),
            milliseconds(latency.median),
            milliseconds(latency.spread()),
            latency.n_runs.to_string(),
            format!("{:.2}x", latency.speedup_over(&latencies[0])),
        ];
        if has_runtimes {
            cells.insert(1, row.runtime.name.clone());
        }
        table.add_row(cells);
    }
    table.column_iter_mut().skip(n_texts).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}
