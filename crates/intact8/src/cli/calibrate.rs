//! `intact8 calibrate`: a calibration as a file, in one go or in shards.

use super::interrupt::stop_on_interrupt;
use super::progress::Terminal;
use super::quantize::size;
use super::values::checked;
use super::{
    ExitCode, FeedingArgs, LoadArgs, MemoryArgs, MessageArgs, SelectionArgs, print_fed, print_message,
    print_result, print_variety,
};
use anyhow::Context;
use intact8::calibrate::{MemoryLimit, Proceeded, Shard, Share};
use intact8::data::{DataSet, Feed, check_options};
use intact8::quant::deploy::check_is_float;
use intact8::{
    CalibrationFile, CalibrationTask, ConfigChoice, DataIdentity, FloatModel, Interpreter, PROFILES,
    Preference, Prepared, Profile, Stop, Watcher, load_config, model_sha256, prepare, shard_of_environment,
};
use std::path::{Path, PathBuf};

/// Calibrate a model, in one go or in shards on any machines, and write the statistics to a file
///
/// A calibration makes one or more passes over the data. Each pass can be made in shards, which `intact8 merge` adds up, in any order,
/// to what one machine computes, bit for bit. The command prints what is next: a pass, or `complete`, and then `intact8 quantize
/// --calibration` uses the file. See docs/scale.md.
///
/// Example: intact8 calibrate model.onnx --calib calib.npz --shard 2/8 -o part2.stats
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX file
    model: PathBuf,
    #[command(flatten)]
    load: LoadArgs,
    /// Calibration data, as of `intact8 quantize`: all of them, of which a shard reads its part
    #[arg(long, value_name = "CALIB", help_heading = "Data")]
    calib: PathBuf,
    #[command(flatten)]
    feeding: FeedingArgs,
    /// Go on with this calibration, whose configuration is used
    #[arg(long, value_name = "ALL.stats", help_heading = "Shards", conflicts_with_all = [
        "config", "target", "prefer", "skip", "only", "skip_types", "reduce_range", "no_equalize", "no_balance",
        "no_correct_bias", "no_fit_rounding", "memory",
    ])]
    stats: Option<PathBuf>,
    /// Make only this shard of the next pass: 1/8 to 8/8, or auto, which reads the variables of torchrun, Slurm job arrays and
    /// Kubernetes indexed jobs
    #[arg(long, value_name = "I/N", help_heading = "Shards", value_parser = checked(shard))]
    shard: Option<String>,
    /// Make no pass, but what comes before the next one: the configuration, and the choices that sampled rows decide
    #[arg(long, help_heading = "Shards", conflicts_with = "shard")]
    choices: bool,
    /// Configuration of the layers to quantize; default: that of `intact8 quantize` without measurements of speed
    #[arg(long, value_name = "C.json", help_heading = "Layers", conflicts_with = "prefer")]
    config: Option<PathBuf>,
    /// Target of the deploy models
    #[arg(long, value_name = "NAME", default_value = PROFILES[0].name, help_heading = "Layers", value_parser = checked(Profile::named))]
    target: String,
    /// What a new configuration prefers: fastest, smallest, int8-products or most-int8
    #[arg(long, value_name = "WHAT", default_value = "fastest", help_heading = "Layers", value_parser = checked(Preference::named))]
    prefer: String,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Quantize the weights of these layers, or of `all`, to 7 bits
    #[arg(long, value_name = "LAYER,…", value_delimiter = ',', help_heading = "Layers")]
    reduce_range: Vec<String>,
    #[command(flatten)]
    preparation: super::quantize::PreparationArgs,
    /// The written file
    #[arg(short = 'o', long = "output", value_name = "OUT.stats", help_heading = "Output")]
    output: PathBuf,
    #[command(flatten)]
    messages: MessageArgs,
    #[command(flatten)]
    limits: MemoryArgs,
    /// Memory that each stage of calibration may take beside the model and its runs; layers that need more are left out of it. All
    /// shards must have the same
    #[arg(long, value_name = "SIZE", default_value = "4G", help_heading = "Memory")]
    #[arg(value_parser = checked(|text: &str| size::memory(Some(text))))]
    memory: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let shard = args.shard.as_deref().map(shard).transpose()?;
    let (target, prefer) = (Profile::named(&args.target)?, Preference::named(&args.prefer)?);
    let memory = size::memory(Some(&args.memory))?;
    let limits = args.limits.limits()?;
    let feeding = args.feeding.feeding()?;
    let progress = args.messages.apply();
    let model = args.load.model(&args.model)?;
    check_is_float(&model)?;
    let mut data = DataSet::read_for(&args.calib, &model, &feeding)?.feed(&model, &feeding)?;
    data.check_memory(limits.memory)?;
    check_options([&data])?;
    if shard.is_none() {
        print_fed(&data)?;
        print_variety(&data)?;
    }
    let stop = Stop::at(None);
    stop_on_interrupt(&stop);
    let mut watcher = Watcher::new(stop);
    watcher.progress = Box::new(Terminal::new(progress, args.messages.verbose));
    let (model_hash, identity) = (model_sha256(&args.model, &model)?, DataIdentity::of(&data)?);
    let known = args.stats.as_deref().map(|path| known(path, &model_hash, &identity)).transpose()?;
    let choice = ConfigChoice {
        given: match &known {
            Some(known) => Some(known.task.config()?),
            None => args.config.as_deref().map(load_config).transpose()?,
        },
        without: args.preparation.without(),
        selection: args.selection.selection(),
        reduce_range: args.reduce_range.clone(),
        prefer,
        target,
    };
    watcher.progress.begin("preparing the model");
    let prepared = prepare(&model, &choice.preparation(), &mut watcher)?;
    let interpreter = Interpreter::with_limits(limits);
    let float =
        float(args, &prepared, &interpreter, known.as_ref().map_or(memory, |known| known.task.memory()))?;
    let mut file = match known {
        Some(known) => known,
        None => {
            let progress = &mut *watcher.progress;
            let (config, restrictions) = choice.complete(&float, prefer, &mut data, progress)?;
            if shard.is_none() {
                watcher.progress.notes(&restrictions);
            }
            CalibrationFile::new(CalibrationTask::new(model_hash, &config, identity, memory))
        }
    };
    let next = match shard {
        Some(shard) => made_shard(&file, &float, &mut data, &mut watcher, (shard, &args.output))?,
        None => {
            let share = if args.choices { Share::Choices } else { Share::Whole };
            let proceeded = file.go_on(&float, &mut data, &mut watcher, share)?;
            file.write(&args.output)?;
            match proceeded {
                Proceeded::Next(pass) => format!("next: {pass}"),
                _ => "complete".to_owned(),
            }
        }
    };
    watcher.progress = Box::new(());
    print_result(&next);
    Ok(ExitCode::SUCCESS)
}

/// The shard that the option names.
pub(super) fn shard(text: &str) -> intact8::Result<Shard> {
    match text {
        "auto" => shard_of_environment(&|name| std::env::var(name).ok()),
        text => text.parse(),
    }
}

/// A calibration that is known so far, of this model and these data.
fn known(path: &Path, model: &str, data: &DataIdentity) -> anyhow::Result<CalibrationFile> {
    let known = CalibrationFile::read(path)?;
    known.task.check(model, data).with_context(|| path.display().to_string())?;
    Ok(known)
}

fn float<'a>(
    args: &Args,
    prepared: &'a Prepared,
    interpreter: &'a Interpreter,
    memory: MemoryLimit,
) -> anyhow::Result<FloatModel<'a>> {
    let float = FloatModel::new(prepared, interpreter).with_context(|| args.model.display().to_string())?;
    Ok(float.with_memory(memory))
}

/// Makes a shard, and returns what it is.
fn made_shard(
    file: &CalibrationFile,
    float: &FloatModel<'_>,
    data: &mut Feed,
    watcher: &mut Watcher,
    (shard, output): (Shard, &Path),
) -> anyhow::Result<String> {
    match file.write_shard(float, data, watcher, (shard, output))? {
        Some(pass) => Ok(format!("shard {shard} of {pass}")),
        None => {
            print_message("no shard is written: all passes are made");
            Ok("complete".to_owned())
        }
    }
}
