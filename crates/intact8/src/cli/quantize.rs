//! `intact8 quantize`: the search, from the options of the command line to its report. The work is done by the library.

mod again;
mod budget;
mod combination;
mod configuration;
mod earlier;
mod fastest;
mod identity;
mod latency;
mod roles;
pub(super) mod size;
mod table;
mod unscored;
mod verdict;

use super::interrupt::stop_on_interrupt;
use super::progress::Terminal;
use super::{
    ChosenRuntime, DeployArgs, FeedingArgs, LoadArgs, MemoryArgs, RuntimeArgs, lines_beside,
    print_contradictions, print_line, print_message, print_restrictions,
};
use anyhow::Context;
use fastest::Candidates;
use intact8::ir::one_line;
use intact8::quant::deploy::check_is_float;
use intact8::quant::passes::other_floats_of_layers;
use intact8::search::ladder::rung_named;
use intact8::search::sensitivity::sensitivity_named;
use intact8::search::strategy::strategy_named;
use intact8::search::{ReplayTap, Replayed};
use intact8::{
    DeploySize, FloatModel, Goals, Interpreter, Journal, Model, OutputFiles, Preference, Prepared,
    QuantConfig, Report, Roles, Score, SearchOptions, Stop, Watcher, deploy_sizes, dump_replay, model_bytes,
    prepare, quantize_and_save, remove_leftovers, report_json, save_report,
};
use latency::{Comparison, Meter};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Quantize a model to int8 as far as an accuracy target allows
///
/// Example: intact8 quantize model.onnx --calib calib.npz --eval eval.npz --metric top1 --max-drop 1%
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX file
    model: PathBuf,
    #[command(flatten)]
    load: LoadArgs,
    /// Calibration data: an .npz with one array for each model input, an .npy, or a folder with a file for each sample or batch; or
    /// raw files `x.bin`, or a folder of them, of the shape and type of the input, for several inputs in their order and separated by
    /// `;`
    #[arg(long, value_name = "CALIB")]
    calib: PathBuf,
    /// Evaluation data: one array for each model input, and `labels` or `targets`, in the same formats
    #[arg(long, value_name = "EVAL")]
    eval: Option<PathBuf>,
    /// Configuration of the layers to quantize; default: all layers, as `intact8 config` writes it
    #[arg(long, value_name = "C.json")]
    config: Option<PathBuf>,
    /// Layer that stays in float; may be repeated
    #[arg(long = "skip-layer", value_name = "NAME")]
    skip_layers: Vec<String>,
    /// Metric of the evaluation data: top1, top5, miou, auc, spearman, mse, cosine, sqnr or psnr; optionally with a goal as
    /// in top1=1%, 'sqnr>=30' or 'mse<=0.1'; may be repeated
    #[arg(long = "metric", value_name = "METRIC[GOAL]", default_value = "top1")]
    metrics: Vec<String>,
    /// Largest drop of a metric without a goal: absolute as in 0.01, or relative to the original's metric as in 1%
    #[arg(long, value_name = "DROP", default_value = "0.01", allow_hyphen_values = true)]
    max_drop: String,
    /// Require that the goals are met even at the worse end of the confidence interval of this level, such as 0.95; without
    /// it the interval is only shown
    #[arg(long, value_name = "0.95", conflicts_with = "eval_cmd")]
    confidence: Option<String>,
    #[command(flatten)]
    feeding: FeedingArgs,
    /// Prefer, among the models that meet the goals: fastest, smallest, int8-products, which is as the fastest with every
    /// convolution and matrix product in int8, or most-int8, which quantizes every layer that has integers around it; not with
    /// --config
    #[arg(long, value_name = "WHAT", default_value = "fastest")]
    prefer: String,
    /// Turn off cross-layer equalization
    #[arg(long)]
    no_equalize: bool,
    /// Turn off smoothing, except for layers with a migration strength in the configuration
    #[arg(long)]
    no_balance: bool,
    /// Turn off bias correction
    #[arg(long)]
    no_correct_bias: bool,
    /// Round weights to the nearest integer instead of fitting the rounding to the calibration data
    #[arg(long)]
    no_fit_rounding: bool,
    #[command(flatten)]
    deploy: DeployArgs,
    /// Quantize the weights of these layers, or of `all`, to 7 bits, for processors without VNNI, on which sums of products
    /// can saturate
    #[arg(long, value_name = "LAYER,…", value_delimiter = ',')]
    reduce_range: Vec<String>,
    /// Strategy that chooses the layers to roll back: minimal, anytime, binary-search, gallop, worst-first or greedy
    #[arg(long, default_value = "minimal")]
    strategy: String,
    /// Sensitivity that ranks the layers: cosine, mse, sqnr or kl of their own output, or output-cosine, … of the network's
    /// output
    #[arg(long, default_value = "cosine")]
    sensitivity: String,
    /// Layers that are rolled back together or not at all; may be repeated
    #[arg(long = "group", value_name = "LAYER,LAYER,…")]
    groups: Vec<String>,
    /// Try other settings for layers before they stay in float: method, bias, ada-round and int16, or some of these, or weights,
    /// which leaves only weights in int8; see docs/search.md
    #[arg(long, value_name = "RUNG,RUNG…", num_args = 0..=1, require_equals = true)]
    #[arg(value_delimiter = ',', default_missing_value = "method,bias,ada-round,int16")]
    ladder: Vec<String>,
    /// End with the best result so far after this number of trials
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_trials: Option<u32>,
    /// End with the best result so far after this time: 90s, 15m or 2h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    time_budget: Option<String>,
    /// Score every trial to its end, even if it can no longer meet the goals
    #[arg(long)]
    no_early_stop: bool,
    /// Memory for cached activations, with which a trial computes only the layers that have changed: 256M, 2G, or 0 for none
    #[arg(long, value_name = "SIZE", default_value = "256M")]
    cache_mem: String,
    /// Memory that each stage of calibration may take beside the model and its runs: 512M, 8G; default: half of the machine's, or
    /// of its control group's limit
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    #[command(flatten)]
    max_memory: MemoryArgs,
    /// Continue an interrupted run with the same model, configuration, data and goals
    #[arg(long)]
    resume: bool,
    /// Score models with a command, which receives the path of an ONNX file and prints a number; larger is better
    #[arg(long, value_name = "CMD", conflicts_with_all = ["eval", "metrics"])]
    eval_cmd: Option<String>,
    /// Start the command only once: it reads the path of a model from each line of its input, and answers with a number on
    /// a line
    #[arg(long)]
    eval_stays: bool,
    /// End the command if it takes longer than this for a model: 90s, 15m or 2h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    eval_timeout: Option<String>,
    /// Accept an original whose metric is 0 or at chance level
    #[arg(long)]
    allow_chance: bool,
    /// Quantize every layer of the configuration and score nothing: no search, and no report
    #[arg(long, conflicts_with_all = ["eval", "eval_cmd", "metrics", "confidence", "ladder", "resume", "keep_best", "dump", "json", "eval_simulation", "runtime", "no_bench", "bench_cmd", "threads"])]
    no_eval: bool,
    /// Score the fake-quant model of a trial with the command first, and the deploy model only if that meets the goals
    #[arg(long)]
    eval_simulation: bool,
    #[command(flatten)]
    runtime: RuntimeArgs,
    /// Threads that a run of the model has where it will run; latencies are measured with so many
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Measure no latency
    #[arg(long)]
    no_bench: bool,
    /// Measure latencies with a command, which receives the path of an ONNX file and prints milliseconds
    #[arg(long, value_name = "CMD", conflicts_with = "no_bench")]
    bench_cmd: Option<String>,
    /// If the goals can't be met, write the closest model; the exit code is still 2
    #[arg(long)]
    keep_best: bool,
    /// Write the inputs and outputs of each layer, in float and quantized, to this folder
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
    /// Folder and prefix of the written files; default: the name of the model in the current folder
    #[arg(long, value_name = "DIR/prefix")]
    save: Option<PathBuf>,
    /// Write the report to this file as well
    #[arg(long, value_name = "REPORT.json")]
    json: Option<PathBuf>,
    /// Format of the record: intact8, or amct, which holds only what AMCT reads, with the whole record in a file beside it
    #[arg(long, value_name = "FORMAT", default_value = "intact8", value_parser = ["intact8", "amct"])]
    record_format: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    lines_beside(args.json.iter());
    combination::check(args)?;
    if args.no_eval {
        return unscored::run(args);
    }
    let deadline = args.time_budget.as_deref().map(budget::parse).transpose()?;
    let stop = Stop::at(deadline.and_then(|budget| began.checked_add(budget)));
    let (mut strategy, sensitivity) =
        (strategy_named(&args.strategy)?, sensitivity_named(&args.sensitivity)?);
    let ladder = args.rungs().iter().map(|rung| rung_named(rung)).collect::<intact8::Result<Vec<_>>>()?;
    let target = args.deploy.target()?;
    // An unknown name is said before the model is read.
    args.preference()?;
    let files = output_files(args)?;
    let model = args.load.model(&args.model)?;
    check_is_float(&model)?;
    print_contradictions(&args.model, &model)?;
    let limits = args.max_memory.limits()?;
    let interpreter = Arc::new(Interpreter::with_limits(limits));
    let memory = size::memory(args.memory.as_deref())?;
    let runtime = args.runtime.for_target(target)?;
    let (mut calibration, mut scorer, mut goals) =
        roles::roles(args, &model, &interpreter, runtime.as_ref(), &stop)?;

    let asked = configuration::asked(args)?;
    let how = configuration::preparation(args, asked.as_ref());
    let mut watcher = Watcher::new(stop.clone());
    watcher.progress = Box::new(Terminal::new());
    let prepared = prepare(&model, &how, &mut watcher)?;
    print_conversion(&model, &prepared);
    let float = FloatModel::new(&prepared, &*interpreter);
    let float = float.with_context(|| args.model.display().to_string())?.with_memory(memory);
    let meter = Meter::of(args, runtime.as_ref());
    let candidates = Candidates::new(args, &float, asked, &mut calibration, target, meter.as_ref())?;
    let identity = |config: &QuantConfig| {
        identity::identity(args, &model, config, &goals.goals, &files, runtime.as_ref())
    };
    let runs = candidates.configs.iter().map(|(config, _)| identity(config));
    let runs = runs.collect::<anyhow::Result<Vec<String>>>()?;
    let earlier = if args.resume { Journal::run_of(&files.journal) } else { None };
    let mut chosen = match earlier {
        // The earlier run has chosen already.
        Some(earlier) => runs.iter().position(|run| *run == earlier).unwrap_or(0),
        None => candidates.fastest(meter.as_ref(), (&model, &float), &files, &calibration),
    };
    let _lock = files.lock()?;
    if args.resume {
        files.remove_leftovers();
        args.dump.iter().for_each(|folder| remove_leftovers(folder));
    }
    stop_on_interrupt(&stop);
    calibration.fed_inputs()?.iter().for_each(|input| print_line(&one_line(&input.to_string())));
    let dump = args.dump.as_ref().map(|folder| |replayed: &Replayed<'_>| dump_replay(folder, replayed));
    let float_bytes = model_bytes(&args.model, &model);
    let mut resumes = args.resume;
    // The result that meets the target but is slower than the original, while only weights are tried.
    let mut slower = None;
    loop {
        let (config, restrictions) = &candidates.configs[chosen];
        print_restrictions(restrictions);
        let groups = configuration::groups(&args.groups, &prepared, config)?;
        watcher.journal = Some(match resumes {
            true => Journal::resume(&files.journal, &runs[chosen], prepared.layers(), goals.goals.len())?,
            false => Journal::begin(&files.journal, &runs[chosen], prepared.layers()),
        });
        let options = SearchOptions {
            sensitivity,
            max_trials: args.max_trials.map(|n| n as usize),
            ladder: &ladder,
            groups: &groups,
            deploy: files.deploy.first().map(|(format, _)| (*format, files.emission)),
            early_stop: !args.no_early_stop,
            keep_best: args.keep_best,
            replays: dump.as_ref().map(|dump| dump as ReplayTap<'_>),
            ..SearchOptions::new(&mut strategy)
        };
        let roles =
            Roles { data: &mut calibration, scorer: &mut scorer, judge: &mut goals, observer: &mut watcher };
        let mut report = quantize_and_save(&float, &model, config, roles, options, &files)?;
        let mut latency =
            latency::measured(meter.as_ref(), (&args.model, &model), &report, &files, &calibration);
        let last = candidates.configs.len() - 1;
        // Layers that were rolled back may leave too little between conversions.
        let is_slower = report.is_met() && latency.as_ref().is_some_and(Comparison::is_slower);
        if chosen != last && is_slower && stop.reason().is_none() {
            latency.iter().for_each(|latency| print_line(&latency.line()));
            print_line("this is slower than the original, so only weights are quantized");
            // The journal of the first search is not that of the second.
            (chosen, resumes) = (last, false);
            slower = Some((report, latency));
            continue;
        }
        if let Some(earlier) = slower.take().filter(|_| !report.is_met()) {
            print_line("with only weights quantized the target is missed; the slower result is kept");
            (report, latency) = earlier;
            let roles = Roles {
                data: &mut calibration,
                scorer: &mut scorer,
                judge: &mut goals,
                observer: &mut watcher,
            };
            save_report(&float, &model, roles, &mut report, &files)?;
        }
        let elapsed = began.elapsed();
        let further =
            Further { float_bytes, elapsed, work: &watcher.work, runtime: runtime.as_ref(), latency };
        write_report(args, &goals, &report, &files, &further)?;
        return Ok(verdict::report(args, &goals, &report, &files));
    }
}

fn output_files(args: &Args) -> anyhow::Result<OutputFiles> {
    let save = args.save.clone().unwrap_or_else(|| args.model.file_stem().unwrap_or_default().into());
    let files = args.deploy.files(&save)?;
    earlier::check(&files, &args.model)?;
    Ok(if args.is_for_amct() { files.with_amct_record() } else { files })
}

impl Args {
    /// What the default configuration prefers.
    fn preference(&self) -> intact8::Result<Preference> {
        Preference::named(&self.prefer)
    }

    /// The rungs of the ladder; where small files are preferred, the last one leaves layers their weights.
    fn rungs(&self) -> Vec<String> {
        let mut rungs = self.ladder.clone();
        let weights = "weights".to_owned();
        if self.prefer == Preference::Smallest.name() && !rungs.contains(&weights) {
            rungs.push(weights);
        }
        rungs
    }

    /// Whether the record is written for AMCT.
    fn is_for_amct(&self) -> bool {
        self.record_format == "amct"
    }
}

/// Prints which floats of the original are f32 in the prepared model.
fn print_conversion(model: &Model, prepared: &Prepared) {
    let left = other_floats_of_layers(prepared.model());
    let converted: Vec<String> =
        other_floats_of_layers(model).difference(&left).map(ToString::to_string).collect();
    if !converted.is_empty() {
        let dtypes = converted.join(" and ");
        print_message(&format!(
            "the network computes in {dtypes}; it is quantized and written in f32, with inputs and outputs of their own types"
        ));
    }
}

/// What a report has besides the result of the search.
struct Further<'a> {
    /// The size of the original.
    float_bytes: u64,
    /// The time of the run.
    elapsed: Duration,
    /// The counts of preparations, quantizations and emissions.
    work: &'a BTreeMap<String, usize>,
    runtime: Option<&'a ChosenRuntime>,
    latency: Option<Comparison>,
}

/// Prints and writes the report.
fn write_report(
    args: &Args,
    goals: &Goals,
    report: &Report<Score>,
    files: &OutputFiles,
    further: &Further<'_>,
) -> anyhow::Result<()> {
    let Further { float_bytes, elapsed, .. } = *further;
    let confidence = goals.confidence.unwrap_or_default();
    let warnings = goals.warnings(&report.original);
    warnings.iter().for_each(|warning| print_line(&format!("warning: {warning}")));
    table::print(&goals.goals, confidence, report, files, float_bytes, elapsed);
    table::runtime_lines(further.runtime, report).iter().for_each(|line| print_line(line));
    further.latency.iter().for_each(|latency| print_line(&latency.line()));
    let mut json = report_json(report, &goals.goals, confidence, elapsed);
    let written = files.all().into_iter().chain([&*files.closest_config, &*files.report, &*files.journal]);
    let written: Vec<&Path> = written.filter(|path| path.exists() || **path == *files.report).collect();
    json["warnings"] = serde_json::json!(warnings);
    json["model"] = shown(&args.model);
    json["files"] = written.iter().map(|path| shown(path)).collect();
    json["work"] = serde_json::json!(further.work);
    json["runtime"] = serde_json::json!(further.runtime.map(|runtime| runtime.loaded.name()));
    json["latency"] = serde_json::json!(further.latency.as_ref().map(Comparison::to_json));
    json["failure"] = serde_json::json!(report.failure.as_ref().map(ToString::to_string));
    let sizes = deploy_sizes(files, float_bytes)?;
    let of_file = |size: &DeploySize| serde_json::json!({ "file": shown(&size.path), "bytes": size.bytes, "warning": size.warning });
    json["sizes"] = sizes.iter().map(of_file).collect();
    let text = serde_json::to_string_pretty(&json)? + "\n";
    for path in [Some(&files.report), args.json.as_ref()].into_iter().flatten() {
        intact8::write_file(path, text.as_bytes())?;
    }
    for size in &sizes {
        let warn = |warning: &String| print_message(&format!("warning: {}: {warning}", size.path.display()));
        size.warning.iter().for_each(warn);
    }
    written.iter().for_each(|path| print_line(&format!("wrote {}", path.display())));
    Ok(())
}

/// A path in JSON, which holds only Unicode: other characters are replaced.
fn shown(path: &Path) -> serde_json::Value {
    path.display().to_string().into()
}
