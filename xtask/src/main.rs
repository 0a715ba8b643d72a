//! The developers' commands, `cargo xtask COMMAND`.
//!
//! It builds and runs the programs of the project and links none of them.

mod arm;
mod bench;
mod ci;
mod conformance;
mod crates;
mod deny;
mod fuzz;
mod links;
mod python;
mod quantize;
mod site;
mod tidy;

use clap::Parser;
use std::path::Path;
use std::process::ExitCode;
use xshell::Shell;

/// The commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110)]
enum Command {
    /// Run `intact8 quantize` in release mode; without arguments, on a bundled model
    Quantize {
        /// The arguments of `intact8 quantize`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Measure accuracy, searches and speed, of intact8 and of its peers
    Bench(bench::Args),
    /// Test the kernels and the interpreter for 64-bit ARM, under emulation
    Arm,
    /// Run what CI runs
    Ci,
    /// Check licences, sources and known vulnerabilities of the dependencies
    Deny,
    /// Feed the fuzz targets with changed inputs
    Fuzz(fuzz::Args),
    /// Build the wheel of the Python package, and test it in a fresh environment
    Python,
    /// Build the site of the documentation in target/site/book, and check its links
    Site,
    /// Check the rules that no lint covers
    Tidy,
    /// Compare the interpreter and the written files with ONNX and ONNX Runtime; without options, for the bundled
    /// models
    Conformance(conformance::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    let command = Command::parse();
    let sh = Shell::new()?;
    let here = sh.current_dir();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace");
    sh.change_dir(root);
    match command {
        // Relative paths of the user start at their working directory.
        Command::Quantize { args } => return quantize::quantize(&sh, &here, &args),
        Command::Bench(args) => bench::bench(&sh, &here, &args)?,
        Command::Arm => arm::arm(&sh)?,
        Command::Ci => ci::ci(&sh)?,
        Command::Deny => deny::deny(&sh)?,
        Command::Fuzz(args) => fuzz::fuzz(&sh, &here, &args)?,
        Command::Python => python::python(&sh)?,
        Command::Site => _ = site::site(&sh)?,
        Command::Tidy => tidy::tidy(&sh)?,
        Command::Conformance(args) => conformance::conformance(&sh, &here, &args)?,
    }
    Ok(ExitCode::SUCCESS)
}
