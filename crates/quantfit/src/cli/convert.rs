//! `quantfit convert` and `quantfit convert-qat`: models without calibration.

use super::{DeployArgs, say};
use quantfit::{OutputFiles, Record, convert_model, convert_qat_model};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Quantize a float model with scales and offsets of your own
///
/// Example: quantfit convert model.onnx --record record.txt --save out/model
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX file, not quantized
    model: PathBuf,
    /// Scales and offsets: a scale-offset record of AMCT, as `quantize` writes it
    #[arg(long, value_name = "RECORD.txt")]
    record: PathBuf,
    /// Take the layers as they are: the record was made without folding normalizations into them
    #[arg(long)]
    no_fusion: bool,
    #[command(flatten)]
    deploy: DeployArgs,
    /// Folder and prefix of the files that are written; default: the model's name, in this folder
    #[arg(long, value_name = "DIR/prefix")]
    save: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let model = quantfit::load_model(&args.model)?;
    let text = std::fs::read_to_string(&args.record);
    let text = text.map_err(|error| anyhow::anyhow!("{}: {error}", args.record.display()))?;
    let record = Record::from_text(&text);
    let record = record.map_err(|error| anyhow::anyhow!("{}: {error}", args.record.display()))?;
    let files = args.deploy.files(&save_path(&args.model, args.save.as_ref()))?;
    convert_model(&model, &record, !args.no_fusion, &files)
        .map_err(|error| anyhow::anyhow!("{}: {error}", args.model.display()))?;
    wrote(std::iter::once(&*files.fake_quant), &files);
    Ok(ExitCode::SUCCESS)
}

/// Make deploy models of a model that has QuantizeLinear and DequantizeLinear, as from quantization-aware training
///
/// Example: quantfit convert-qat qat.onnx --deploy integer,ascend --target generic --save out/model
#[derive(clap::Args)]
pub(crate) struct QatArgs {
    /// The ONNX file
    model: PathBuf,
    #[command(flatten)]
    deploy: DeployArgs,
    /// Folder and prefix of the files that are written; default: the model's name, in this folder
    #[arg(long, value_name = "DIR/prefix")]
    save: Option<PathBuf>,
}

pub(crate) fn run_qat(args: &QatArgs) -> anyhow::Result<ExitCode> {
    let model = quantfit::load_model(&args.model)?;
    let files = args.deploy.files(&save_path(&args.model, args.save.as_ref()))?;
    convert_qat_model(&model, &files)
        .map_err(|error| anyhow::anyhow!("{}: {error}", args.model.display()))?;
    wrote(std::iter::once(&*files.record), &files);
    Ok(ExitCode::SUCCESS)
}

fn save_path(model: &Path, save: Option<&PathBuf>) -> PathBuf {
    save.cloned().unwrap_or_else(|| model.file_stem().unwrap_or_default().into())
}

fn wrote<'a>(first: impl Iterator<Item = &'a Path>, files: &'a OutputFiles) {
    let paths = first.chain(files.deploy.iter().map(|(_, path)| &**path)).chain([&*files.map]);
    paths.for_each(|path| say(&format!("wrote {}", path.display())));
}
