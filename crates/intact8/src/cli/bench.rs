//! `intact8 bench`: the latencies of models, measured in turns.

use super::{FeedingArgs, LoadArgs, RuntimeArgs, lines_beside, print_fed, print_line};
use anyhow::{Context, bail};
use comfy_table::{CellAlignment, Table, presets};
use intact8::data::DataSet;
use intact8::ir::{DType, Dim, Executor, NodeKind, Runtime};
use intact8::{Input, Interpreter, Latency, Model, Tensor, TimedModel, interleaved, machine_limits};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Measure the latencies of models
///
/// The models run in turns in one process, each on one batch. The table has the least time, the median and the distance between
/// the quartiles in milliseconds, and how many times as fast as the first model each is, by the least times. Without --input the
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
    runtime: RuntimeArgs,
    /// Number of threads of a run
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Data whose first batch is fed: one array for each model input, named as the input; or a folder with a file for each sample
    /// or batch
    #[arg(long, value_name = "DATA")]
    input: Option<PathBuf>,
    #[command(flatten)]
    feeding: FeedingArgs,
    /// Seconds for each model
    #[arg(long, value_name = "S", default_value = "2")]
    seconds: f64,
    /// Write the latencies to this file as well
    #[arg(long, value_name = "OUT.json")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    lines_beside(args.json.iter());
    let budget = Duration::try_from_secs_f64(args.seconds * args.models.len() as f64);
    let budget = budget.context("--seconds must be a positive number")?;
    let threads = usize::from(args.threads);
    let chosen = args.runtime.any()?.map(|chosen| chosen.loaded.with_threads(threads));
    let interpreter = Interpreter::with_limits(machine_limits());
    let (runtime, name): (&dyn Runtime, String) = match &chosen {
        Some(loaded) => (loaded, loaded.name()),
        None => {
            // It fails only if there is a pool already.
            drop(rayon::ThreadPoolBuilder::new().num_threads(threads).build_global());
            (&interpreter, "the interpreter of intact8".to_owned())
        }
    };
    let mut executors: Vec<(Box<dyn Executor + '_>, Vec<Tensor>)> = Vec::new();
    let mut batch = None;
    for path in &args.models {
        let model = args.load.model(path)?;
        let (inputs, n_samples) = inputs(args, &model).with_context(|| path.display().to_string())?;
        batch = batch.or(n_samples);
        let executor = runtime.compile(&model).with_context(|| path.display().to_string())?;
        executor.run(&inputs).with_context(|| path.display().to_string())?;
        executors.push((executor, inputs));
    }
    let timed = executors.iter().map(|(executor, inputs)| TimedModel { executor: &**executor, inputs });
    let latencies = interleaved(&timed.collect::<Vec<_>>(), budget)?;
    print_line(&format!(
        "{name}, {threads} thread{}{}{}",
        if threads == 1 { "" } else { "s" },
        batch.map_or(String::new(), |batch| format!(", batch {batch}")),
        if args.input.is_some() { "" } else { ", random inputs" }
    ));
    print_line(&table(args, &latencies).to_string());
    if let Some(path) = &args.json {
        let of_model = |(path, latency): (&PathBuf, &Latency)| {
            let mut value = latency.to_json();
            value["model"] = json!(path.display().to_string());
            value["speedup"] = json!(latency.speedup_over(&latencies[0]));
            value
        };
        let models: Vec<_> = args.models.iter().zip(&latencies).map(of_model).collect();
        let report = json!({ "runtime": name, "threads": threads, "batch": batch, "models": models });
        intact8::write_file(path, (serde_json::to_string_pretty(&report)? + "\n").as_bytes())?;
        print_line(&format!("wrote {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(args: &Args, latencies: &[Latency]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["model", "least ms", "median ms", "spread ms", "runs", "speedup"]);
    for (path, latency) in args.models.iter().zip(latencies) {
        let milliseconds = |seconds: f64| format!("{:.3}", seconds * 1e3);
        table.add_row([
            path.display().to_string(),
            milliseconds(latency.least),
            milliseconds(latency.median),
            milliseconds(latency.spread()),
            latency.n_runs.to_string(),
            format!("{:.2}x", latency.speedup_over(&latencies[0])),
        ]);
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// The inputs of a model, and the number of samples in them if it is known.
fn inputs(args: &Args, model: &Model) -> anyhow::Result<(Vec<Tensor>, Option<usize>)> {
    if let Some(path) = &args.input {
        let feed = DataSet::read_for(path, model)?.feed(model, &args.feeding.feeding())?;
        print_fed(&feed)?;
        let samples = feed.batches().next().unwrap_or_default();
        return Ok((feed.inputs(samples.clone())?, Some(feed.n_fed(&samples))));
    }
    let batch = args.feeding.feeding().batch.unwrap_or(1);
    let mut seed = 1;
    let (mut inputs, mut n_samples) = (Vec::new(), None);
    let all = Input::all_of(model);
    // Inputs with a default at the end are left out.
    let n_fed = all.iter().rposition(|input| !input.has_default).map_or(0, |last| last + 1);
    for (input, &id) in all.iter().zip(model.main().inputs()).take(n_fed) {
        if let NodeKind::Input(Some(default)) = &model.main().node(id).kind {
            inputs.push(default.clone());
            continue;
        }
        let ty =
            input.ty.as_ref().with_context(|| format!("{}: has no type; use --input DATA", input.name))?;
        let Some(dims) = &ty.shape else {
            bail!("{}: has no known number of dimensions; use --input DATA", input.name);
        };
        let mut shape = Vec::new();
        for (axis, dim) in dims.iter().enumerate() {
            shape.push(match dim {
                Dim::Known(length) => *length,
                // The first dimension counts samples, and so does every one that is called the same.
                dim if axis == 0 || *dim == dims[0] => {
                    n_samples = Some(batch);
                    batch
                }
                dim => bail!("{}: the dimension {dim} is not known; use --input DATA", input.name),
            });
        }
        inputs.push(random(ty.dtype, &shape, &mut seed).with_context(|| input.name.clone())?);
    }
    Ok((inputs, n_samples))
}

/// Random floats from 0 to 1, or integers 0 and 1.
fn random(dtype: DType, shape: &[usize], seed: &mut u64) -> anyhow::Result<Tensor> {
    let mut next = || {
        // The multiplier and the increment are Knuth's, as in MMIX.
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 40) as f32 / (1u64 << 24) as f32
    };
    let n: usize = shape.iter().product();
    let floats: Vec<f32> = (0..n).map(|_| next()).collect();
    let bits = || floats.iter().map(|&value| value >= 0.5);
    Ok(match dtype {
        DType::F32 => Tensor::new(shape, floats),
        DType::F64 => Tensor::new(shape, floats.iter().map(|&value| f64::from(value)).collect()),
        DType::Bool => Tensor::new(shape, bits().collect::<Vec<bool>>()),
        DType::I8 => Tensor::new(shape, bits().map(i8::from).collect()),
        DType::U8 => Tensor::new(shape, bits().map(u8::from).collect()),
        DType::I16 => Tensor::new(shape, bits().map(i16::from).collect()),
        DType::U16 => Tensor::new(shape, bits().map(u16::from).collect()),
        DType::I32 => Tensor::new(shape, bits().map(i32::from).collect()),
        DType::U32 => Tensor::new(shape, bits().map(u32::from).collect()),
        DType::I64 => Tensor::new(shape, bits().map(i64::from).collect()),
        DType::U64 => Tensor::new(shape, bits().map(u64::from).collect()),
        other => bail!("there are no random numbers of {other}; use --input DATA"),
    })
}
