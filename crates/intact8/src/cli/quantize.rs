//! `intact8 quantize`: the search, from the options of the command line to its report. The work is done by the library.

mod again;
mod budget;
mod combination;
mod earlier;
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
    DeployArgs, FeedingArgs, LoadArgs, MemoryArgs, RuntimeArgs, lines_beside, print_contradictions,
    print_line, print_message,
};
use crate::cli::ExitCode;
use anyhow::Context;
use intact8::ir::one_line;
use intact8::quant::deploy::check_is_float;
use intact8::quant::passes::other_floats_of_layers;
use intact8::search::ladder::rung_named;
use intact8::search::sensitivity::sensitivity_named;
use intact8::search::strategy::strategy_named;
use intact8::search::{ReplayTap, Replayed};
use intact8::{
    CandidateResult, CandidateRoles, CandidateSearch, Candidates, ChosenRuntime, ConfigChoice, FloatModel,
    Goals, Interpreter, Journal, Model, OutputFiles, Preference, Prepared, QuantConfig, SearchOptions, Stop,
    Watcher, WithoutStages, deploy_sizes, dump_replay, load_config, model_bytes, prepare, remove_leftovers,
};
use std::path::PathBuf;
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

    let choice = args.config_choice()?;
    let mut watcher = Watcher::new(stop.clone());
    watcher.progress = Box::new(Terminal::new());
    let prepared = prepare(&model, &choice.preparation(), &mut watcher)?;
    print_conversion(&model, &prepared);
    let float = FloatModel::new(&prepared, &*interpreter);
    let float = float.with_context(|| args.model.display().to_string())?.with_memory(memory);
    let meter = latency::meter(args, runtime.as_ref());
    let progress = &mut *watcher.progress;
    let candidates = Candidates::new(&choice, &float, &mut calibration, meter.as_ref(), progress)?;
    let identity = |config: &QuantConfig| {
        identity::identity(args, &model, config, &goals.goals, &files, runtime.as_ref())
    };
    let runs = candidates.configs.iter().map(|(config, _)| identity(config));
    let runs = runs.collect::<anyhow::Result<Vec<String>>>()?;
    let earlier = if args.resume { Journal::run_of(&files.journal) } else { None };
    let chosen = match earlier {
        // The earlier run has chosen already.
        Some(earlier) => runs.iter().position(|run| *run == earlier).unwrap_or(0),
        None => {
            let progress = &mut *watcher.progress;
            candidates.fastest(meter.as_ref(), (&model, &float), &files, &calibration, progress)
        }
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
    let n_goals = goals.goals.len();
    let result = CandidateSearch {
        float: &float,
        original: &model,
        candidates: &candidates,
        groups: &args.groups_by_name(),
        files: &files,
        // The journal of the first search is not that of the second.
        journal: &mut |candidate, is_first| {
            Ok(Some(match args.resume && is_first {
                true => Journal::resume(&files.journal, &runs[candidate], prepared.layers(), n_goals)?,
                false => Journal::begin(&files.journal, &runs[candidate], prepared.layers()),
            }))
        },
        path: Some(&args.model),
        meter: meter.as_ref(),
    };
    let options = SearchOptions {
        sensitivity,
        max_trials: args.max_trials.map(|n| n as usize),
        ladder: &ladder,
        deploy: files.deploy.first().map(|(format, _)| (*format, files.emission)),
        early_stop: !args.no_early_stop,
        keep_best: args.keep_best,
        replays: dump.as_ref().map(|dump| dump as ReplayTap<'_>),
        ..SearchOptions::new(&mut strategy)
    };
    let roles = CandidateRoles {
        data: &mut calibration,
        scorer: &mut scorer,
        goals: &mut goals,
        watcher: &mut watcher,
    };
    let result = result.run(chosen, roles, options)?;
    let further = Further { float_bytes, elapsed: began.elapsed(), runtime: runtime.as_ref() };
    write_report(args, &goals, &result, &files, &watcher, &further)?;
    Ok(verdict::report(args, &goals, &result.report, &files))
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

    /// How the configuration is made.
    fn config_choice(&self) -> anyhow::Result<ConfigChoice> {
        let without = WithoutStages {
            equalize: self.no_equalize || self.is_for_amct(),
            balance: self.no_balance,
            correct_bias: self.no_correct_bias,
            fit_rounding: self.no_fit_rounding,
        };
        let given = self.config.as_deref().map(load_config).transpose()?;
        if self.is_for_amct() && !self.no_equalize && given.as_ref().is_none_or(|config| config.equalize) {
            print_message(
                "cross-layer equalization is off: the record for AMCT holds scales of the model's own weights",
            );
        }
        Ok(ConfigChoice {
            given,
            without,
            skip_layers: self.skip_layers.clone(),
            reduce_range: self.reduce_range.clone(),
            prefer: self.preference()?,
            target: self.deploy.target()?,
        })
    }

    /// The names of the layers of each group.
    fn groups_by_name(&self) -> Vec<Vec<String>> {
        let names = |group: &String| group.split(',').map(|name| name.trim().to_owned()).collect();
        self.groups.iter().map(names).collect()
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
#[derive(Clone, Copy)]
struct Further<'a> {
    /// The size of the original.
    float_bytes: u64,
    /// The time of the run.
    elapsed: Duration,
    runtime: Option<&'a ChosenRuntime>,
}

/// Prints and writes the report.
fn write_report(
    args: &Args,
    goals: &Goals,
    result: &CandidateResult,
    files: &OutputFiles,
    watcher: &Watcher,
    further: &Further<'_>,
) -> anyhow::Result<()> {
    let report = &result.report;
    let Further { float_bytes, elapsed, runtime } = *further;
    let confidence = goals.confidence.unwrap_or_default();
    goals.warnings(&report.original).iter().for_each(|warning| print_line(&format!("warning: {warning}")));
    table::print(&goals.goals, confidence, report, files, float_bytes, elapsed);
    table::runtime_lines(runtime, report).iter().for_each(|line| print_line(line));
    result.latency.iter().for_each(|latency| print_line(&latency.line()));
    let sizes = deploy_sizes(files, float_bytes)?;
    let mut json = result.to_json(goals, files, &sizes, watcher, elapsed);
    json["model"] = args.model.display().to_string().into();
    json["runtime"] = serde_json::json!(runtime.map(|runtime| runtime.loaded.name()));
    let written = files.written();
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
