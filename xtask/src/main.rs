//! The developers' front door: everything that is automated starts here, as `cargo xtask COMMAND`.
//!
//! It builds and calls the project's own programs and links none of them.

mod bench;
mod ci;
mod conformance;
mod quantize;
mod tidy;

use clap::Parser;
use std::path::Path;
use std::process::ExitCode;
use xshell::Shell;

/// What developers run.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110)]
enum Command {
    /// Run `intact8 quantize` in release mode; without arguments, on a bundled model
    Quantize {
        /// The arguments of `intact8 quantize`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Measure intact8 beside its peers
    Bench(bench::Args),
    /// Run what CI runs
    Ci,
    /// Check the things that are no lints
    Tidy,
    /// Check our interpreter and our outputs against ONNX and ONNX Runtime; without options, with the bundled models
    Conformance(conformance::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    let command = Command::parse();
    let sh = Shell::new()?;
    let here = sh.current_dir();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace");
    sh.change_dir(root);
    match command {
        // Paths that a user writes are meant from where they stand.
        Command::Quantize { args } => return quantize::quantize(&sh, &here, &args),
        Command::Bench(args) => bench::bench(&sh, &here, &args)?,
        Command::Ci => ci::ci(&sh)?,
        Command::Tidy => tidy::tidy(&sh)?,
        Command::Conformance(args) => conformance::conformance(&sh, &here, &args)?,
    }
    Ok(ExitCode::SUCCESS)
}
