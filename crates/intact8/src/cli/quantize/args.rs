//! The options of `intact8 quantize`, by the headings of its help.

use super::{budget, size};
use crate::cli::values::{self, checked};
use crate::cli::{
    DeployArgs, FeedingArgs, LoadArgs, MemoryArgs, MessageArgs, RuntimeArgs, SaveArgs, SelectionArgs,
};
use intact8::search::ladder::rung_named;
use intact8::search::sensitivity::sensitivity_named;
use intact8::search::strategy::strategy_named;
use intact8::{CommandScorer, Confidence, MaxDrop, Preference, WithoutStages};
use std::path::PathBuf;

/// Quantize a model to int8 as far as an accuracy target allows
///
/// Example: intact8 quantize model.onnx --calib calib.npz --eval eval.npz --metric top1 --max-drop 1%
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX file
    pub(super) model: PathBuf,
    /// Read options from this file, such as the intact8.toml of an earlier run; options of the command line take the place of those
    /// in the file
    #[arg(long, value_name = "FILE.toml")]
    pub(super) recipe: Option<PathBuf>,
    #[command(flatten)]
    pub(super) load: LoadArgs,
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(flatten)]
    pub(super) accuracy: AccuracyArgs,
    #[command(flatten)]
    pub(super) speed: SpeedArgs,
    #[command(flatten)]
    pub(super) layers: LayerArgs,
    #[command(flatten)]
    pub(super) search: SearchArgs,
    #[command(flatten)]
    pub(super) preparation: PreparationArgs,
    #[command(flatten)]
    pub(super) deploy: DeployArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(flatten)]
    pub(super) messages: MessageArgs,
    #[command(flatten)]
    pub(super) memory: MemoryArgs,
    /// Memory that each stage of calibration may take beside the model and its runs: 512M, 8G; default: half of the machine's, or
    /// of its control group's limit
    #[arg(long = "memory", value_name = "SIZE", help_heading = "Memory")]
    #[arg(value_parser = checked(|text: &str| size::memory(Some(text))))]
    pub(super) calibration_memory: Option<String>,
}

/// The data.
#[derive(clap::Args)]
#[command(next_help_heading = "Data")]
pub(crate) struct DataArgs {
    /// Calibration data: an .npz or .safetensors with one array for each model input, an .npy, or a folder with such a file for each
    /// sample or batch; images: one, a folder of them, a folder for each class, or a .csv of file,label; or raw files `x.bin`, or a
    /// folder of them, for several inputs in their order and separated by `;`
    #[arg(long, value_name = "CALIB")]
    pub(super) calib: PathBuf,
    /// Use this calibration, which `intact8 calibrate` has made of the same model and data, in shards for instance; the
    /// configuration is that of the file
    #[arg(long, value_name = "ALL.stats", conflicts_with_all = [
        "config", "prefer", "skip", "only", "skip_types", "reduce_range", "no_equalize", "no_balance", "no_correct_bias",
        "no_fit_rounding", "calibration_memory",
    ])]
    pub(super) calibration: Option<PathBuf>,
    /// Evaluation data in the same formats: one array for each model input, and `labels` or `targets`; or images of labelled
    /// classes
    #[arg(long, value_name = "EVAL")]
    pub(super) eval: Option<PathBuf>,
    #[command(flatten)]
    pub(super) feeding: FeedingArgs,
}

/// What is scored, and how well the result must do.
#[derive(clap::Args)]
#[command(next_help_heading = "Accuracy")]
pub(crate) struct AccuracyArgs {
    /// Metric of the evaluation data: top1, top5, miou, auc, ap, spearman, mse, cosine, sqnr or psnr; optionally with a goal as
    /// in top1=1%, 'sqnr>=30' or 'mse<=0.1'; may be repeated
    #[arg(long = "metric", value_name = "METRIC[GOAL]", default_value = "top1", value_parser = checked(values::metric))]
    pub(super) metrics: Vec<String>,
    /// Largest drop of a metric without a goal: absolute as in 0.01, or relative to the original's metric as in 1%; default: 0.01
    #[arg(long, value_name = "DROP", allow_hyphen_values = true, value_parser = checked(MaxDrop::parse))]
    pub(super) max_drop: Option<String>,
    /// Require that the goals are met even at the worse end of the confidence interval of this level, such as 0.95; without
    /// it the interval is only shown
    #[arg(long, value_name = "0.95", conflicts_with = "eval_cmd", value_parser = checked(Confidence::parse))]
    pub(super) confidence: Option<String>,
    /// Score models with a command, which receives the path of an ONNX file and prints a number; larger is better
    #[arg(long, value_name = "CMD", conflicts_with_all = ["eval", "metrics", "no_early_stop"])]
    #[arg(value_parser = checked(CommandScorer::parse))]
    pub(super) eval_cmd: Option<String>,
    /// Start the command only once: it reads the path of a model from each line of its input, and answers with a number on
    /// a line
    #[arg(long)]
    pub(super) eval_stays: bool,
    /// End the command if it takes longer than this for a model: 90s, 15m or 2h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = checked(budget::parse))]
    pub(super) eval_timeout: Option<String>,
    /// Score the fake-quant model of a trial with the command first, and the deploy model only if that meets the goals
    #[arg(long)]
    pub(super) eval_simulation: bool,
    /// Accept an original whose metric is 0 or at chance level
    #[arg(long)]
    pub(super) allow_chance: bool,
    /// Quantize every layer of the configuration and score nothing: no search
    #[arg(long, conflicts_with_all = [
        "eval", "eval_cmd", "metrics", "max_drop", "confidence", "allow_chance", "eval_simulation", "strategy", "sensitivity",
        "groups", "ladder", "max_trials", "time_budget", "no_early_stop", "resume", "keep_best", "dump", "json",
    ])]
    pub(super) no_eval: bool,
}

/// What runs the result, and how its latency is measured.
#[derive(clap::Args)]
#[command(next_help_heading = "Speed")]
pub(crate) struct SpeedArgs {
    /// Prefer, among the models that meet the goals: fastest, smallest, int8-products, which is as the fastest with every
    /// convolution and matrix product in int8, or most-int8, which quantizes every layer that has integers around it; not with
    /// --config
    #[arg(long, value_name = "WHAT", default_value = "fastest", conflicts_with = "config")]
    #[arg(value_parser = checked(Preference::named))]
    pub(super) prefer: String,
    #[command(flatten)]
    pub(super) runtime: RuntimeArgs,
    /// Threads that a run of the model has where it will run; latencies are measured with so many
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    #[arg(conflicts_with_all = ["no_bench", "bench_cmd"])]
    pub(super) threads: u16,
    /// Measure no latency
    #[arg(long)]
    pub(super) no_bench: bool,
    /// Measure latencies with a command, which receives the path of an ONNX file and prints milliseconds
    #[arg(long, value_name = "CMD", conflicts_with = "no_bench", value_parser = checked(CommandScorer::parse))]
    pub(super) bench_cmd: Option<String>,
}

/// The layers that are quantized.
#[derive(clap::Args)]
#[command(next_help_heading = "Layers")]
pub(crate) struct LayerArgs {
    /// Configuration of the layers to quantize; default: all layers, as `intact8 config` writes it
    #[arg(long, value_name = "C.json")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) selection: SelectionArgs,
    /// Quantize the weights of these layers, or of `all`, to 7 bits, for processors without VNNI, on which sums of products
    /// can saturate
    #[arg(long, value_name = "LAYER,…", value_delimiter = ',')]
    pub(super) reduce_range: Vec<String>,
    /// Layers that are rolled back together or not at all; may be repeated
    #[arg(long = "group", value_name = "LAYER,LAYER,…")]
    pub(super) groups: Vec<String>,
}

/// How the search goes, and when it ends.
#[derive(clap::Args)]
#[command(next_help_heading = "Search")]
pub(crate) struct SearchArgs {
    /// Strategy that chooses the layers to roll back: minimal, anytime, binary-search, gallop, worst-first or greedy
    #[arg(long, value_name = "NAME", default_value = "minimal", value_parser = checked(strategy_named))]
    pub(super) strategy: String,
    /// Sensitivity that ranks the layers: cosine, mse, sqnr or kl of their own output, or output-cosine, … of the network's
    /// output
    #[arg(long, value_name = "NAME", default_value = "cosine", value_parser = checked(sensitivity_named))]
    pub(super) sensitivity: String,
    /// Try other settings for layers before they stay in float: method, bias, ada-round and int16, or some of these, or weights,
    /// which leaves only weights in int8; see docs/search.md
    #[arg(long, value_name = "RUNG,RUNG…", num_args = 0..=1, require_equals = true)]
    #[arg(value_delimiter = ',', default_missing_value = "method,bias,ada-round,int16")]
    #[arg(value_parser = checked(rung_named))]
    pub(super) ladder: Vec<String>,
    /// End with the best result so far after this number of trials
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) max_trials: Option<u32>,
    /// End with the best result so far after this time: 90s, 15m or 2h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = checked(budget::parse))]
    pub(super) time_budget: Option<String>,
    /// Score every trial to its end, even if it can no longer meet the goals
    #[arg(long)]
    pub(super) no_early_stop: bool,
    /// Let workers run trials too, which `intact8 work` starts with the same folder, model, data and metrics
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["eval_cmd", "no_eval"])]
    pub(super) workers: Option<PathBuf>,
    /// Continue an interrupted run with the same model, configuration, data and goals
    #[arg(long)]
    pub(super) resume: bool,
    /// If the goals can't be met, write the closest model; the exit code is still 3
    #[arg(long)]
    pub(super) keep_best: bool,
}

/// The stages before and during calibration.
#[derive(clap::Args)]
#[command(next_help_heading = "Preparation")]
pub(crate) struct PreparationArgs {
    /// Turn off cross-layer equalization
    #[arg(long)]
    pub(super) no_equalize: bool,
    /// Turn off smoothing, except for layers with a migration strength in the configuration
    #[arg(long)]
    pub(super) no_balance: bool,
    /// Turn off bias correction
    #[arg(long)]
    pub(super) no_correct_bias: bool,
    /// Round weights to the nearest integer instead of fitting the rounding to the calibration data
    #[arg(long)]
    pub(super) no_fit_rounding: bool,
}

impl PreparationArgs {
    /// The stages that are turned off.
    pub(crate) fn without(&self) -> WithoutStages {
        WithoutStages {
            equalize: self.no_equalize,
            balance: self.no_balance,
            correct_bias: self.no_correct_bias,
            fit_rounding: self.no_fit_rounding,
        }
    }
}

/// The written files.
#[derive(clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    #[command(flatten)]
    pub(super) save: SaveArgs,
    /// Give configuration, ranking and trials the names of AMCT, which have no prefix
    #[arg(long)]
    pub(super) amct_names: bool,
    /// Write the report to this file as well; `-` is the standard output
    #[arg(long, value_name = "REPORT.json")]
    pub(super) json: Option<PathBuf>,
    /// Write the inputs and outputs of each layer, in float and quantized, to this folder
    #[arg(long, value_name = "DIR")]
    pub(super) dump: Option<PathBuf>,
    /// Format of the record: intact8, or amct, which holds only what AMCT reads, with the whole record in a file beside it
    #[arg(long, value_name = "FORMAT", default_value = "intact8", value_parser = ["intact8", "amct"])]
    pub(super) record_format: String,
}
