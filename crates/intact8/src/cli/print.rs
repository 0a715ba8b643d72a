//! `intact8 print`: a model in its text form.

use super::{LoadArgs, print_line};
use crate::cli::ExitCode;
use std::path::PathBuf;

/// Print a model as text, with one line for each node
///
/// Example: intact8 print model.onnx | less
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX file
    model: PathBuf,
    #[command(flatten)]
    load: LoadArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let model = args.load.model(&args.model)?;
    print_line(model.to_string().trim_end());
    Ok(ExitCode::SUCCESS)
}
