//! `intact8 convert` and `intact8 convert-qat`: quantized models without calibration.

use super::{DeployArgs, LoadArgs, SaveArgs, print_contradictions, print_line};
use crate::cli::ExitCode;
use crate::cli::usage_error::OrUsage;
use intact8::{OutputFiles, Record, convert_model, convert_qat_model, load_config};
use std::path::{Path, PathBuf};

/// Quantize a float model with given scales and zero points
///
/// Example: intact8 convert model.onnx --record record.txt --save out/model
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX file, not quantized
    model: PathBuf,
    #[command(flatten)]
    load: LoadArgs,
    /// Scales and zero points: a scale-offset record of AMCT, as `quantize` writes it
    #[arg(long, value_name = "RECORD.txt")]
    record: PathBuf,
    /// The configuration that the record was made with, as `quantize` writes it; without it, normalizations are folded into
    /// layers, and the model is not prepared further
    #[arg(long, value_name = "CONFIG.json")]
    config: Option<PathBuf>,
    #[command(flatten)]
    deploy: DeployArgs,
    #[command(flatten)]
    save: SaveArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let files = args.deploy.deployed(OutputFiles::new(&args.save.path(&args.model))).or_usage()?;
    args.save.check(&files, &args.model)?;
    let model = args.load.model(&args.model)?;
    print_contradictions(&args.model, &model)?;
    let text = std::fs::read_to_string(&args.record);
    let text = text.map_err(|error| anyhow::anyhow!("{}: {error}", args.record.display()))?;
    let record = Record::from_text(&text);
    let record = record.map_err(|error| anyhow::anyhow!("{}: {error}", args.record.display()))?;
    let config = args.config.as_deref().map(load_config).transpose()?;
    let _lock = files.lock()?;
    convert_model(&model, &record, config.as_ref(), &files)
        .map_err(|error| anyhow::anyhow!("{}: {error}", args.model.display()))?;
    print_files(std::iter::once(&*files.fake_quant), &files);
    Ok(ExitCode::SUCCESS)
}

/// Write deploy models of a model with QuantizeLinear and DequantizeLinear, as from quantization-aware training
///
/// Example: intact8 convert-qat qat.onnx --deploy integer,ascend --target generic --save out/model
#[derive(clap::Args)]
pub(crate) struct QatArgs {
    /// The ONNX file
    model: PathBuf,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    deploy: DeployArgs,
    #[command(flatten)]
    save: SaveArgs,
}

pub(crate) fn run_qat(args: &QatArgs) -> anyhow::Result<ExitCode> {
    let files = args.deploy.deployed(OutputFiles::new(&args.save.path(&args.model))).or_usage()?;
    args.save.check(&files, &args.model)?;
    let model = args.load.model(&args.model)?;
    let _lock = files.lock()?;
    convert_qat_model(&model, &files)
        .map_err(|error| anyhow::anyhow!("{}: {error}", args.model.display()))?;
    print_files(std::iter::once(&*files.record), &files);
    Ok(ExitCode::SUCCESS)
}

/// Prints the names of the written files.
fn print_files<'a>(first: impl Iterator<Item = &'a Path>, files: &'a OutputFiles) {
    let paths = first.chain(files.deploy.iter().map(|(_, path)| &**path)).chain([&*files.map]);
    paths.for_each(|path| print_line(&format!("wrote {}", path.display())));
}
