//! `intact8 print`: the text form.

use super::say;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print a model as text, one line a node
///
/// Example: intact8 print model.onnx | less
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX file
    model: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let model = intact8::load_model(&args.model)?;
    say(model.to_string().trim_end());
    Ok(ExitCode::SUCCESS)
}
