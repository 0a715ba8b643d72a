//! `intact8 config`: writes the default configuration of a model, which the user can edit.

use super::{LoadArgs, SelectionArgs, lines_beside, print_contradictions, print_line, print_restrictions};
use crate::cli::ExitCode;
use crate::cli::values::checked;
use anyhow::bail;
use intact8::{NewConfig, PROFILES, Preference, Profile, is_standard_output};
use std::path::PathBuf;

/// Write the default configuration of a model
///
/// Example: intact8 config model.onnx -o quant_config.json --skip fc
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX file
    model: PathBuf,
    #[command(flatten)]
    load: LoadArgs,
    /// File for the configuration
    #[arg(short, long, value_name = "C.json", default_value = "quant_config.json")]
    output: PathBuf,
    /// Short definition with the settings that differ from the defaults, AMCT's text-proto .cfg
    #[arg(long, value_name = "SHORT.cfg", conflicts_with_all = ["batch_num", "no_activation_offset", "skip", "only", "skip_types"])]
    definition: Option<PathBuf>,
    /// Number of batches of calibration data; default: all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch_num: Option<u32>,
    /// Activations have no zero point
    #[arg(long)]
    no_activation_offset: bool,
    /// Target of the deploy models: onnxruntime-x86, onnxruntime-arm, tensorrt, openvino, ascend or generic
    #[arg(long, value_name = "NAME", default_value = PROFILES[0].name, value_parser = checked(Profile::named))]
    target: String,
    /// Prefer fastest, smallest, int8-products, which is as the fastest with every convolution and matrix product in int8, or
    /// most-int8, which quantizes every layer that has integers around it
    #[arg(long, value_name = "WHAT", default_value = "fastest", value_parser = checked(Preference::named))]
    prefer: String,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // Devices and pipes are written to in any case.
    let is_stream = is_standard_output(&args.output);
    if !is_stream && args.output.is_file() && !args.force {
        bail!("{}: exists; name another file with -o, or replace it with --force", args.output.display());
    }
    lines_beside(std::iter::once(&args.output));
    let model = args.load.model(&args.model)?;
    print_contradictions(&args.model, &model)?;
    let (output, target) = (&args.output, Profile::named(&args.target)?);
    let prefer = Preference::named(&args.prefer)?;
    let settings = NewConfig {
        definition: args.definition.as_deref(),
        selection: args.selection.selection(),
        batch_num: args.batch_num.map(|n| n as usize),
        activation_offset: !args.no_activation_offset,
        target,
        prefer,
    };
    print_restrictions(&settings.write(output, &model)?);
    print_line(&format!("wrote {}", args.output.display()));
    Ok(ExitCode::SUCCESS)
}
