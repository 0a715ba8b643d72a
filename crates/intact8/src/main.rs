//! The `intact8` command: options, files, progress and tables; the library does the work.

mod cli;

use clap::Parser;
use std::process::ExitCode;

/// Accuracy-driven int8 quantization of ONNX models.
#[derive(Parser)]
#[command(version, about, max_term_width = 110)]
enum Command {
    Quantize(Box<cli::quantize::Args>),
    Bench(cli::bench::Args),
    Config(cli::config::Args),
    Compare(cli::compare::Args),
    Convert(cli::convert::Args),
    ConvertQat(cli::convert::QatArgs),
    Inspect(cli::inspect::Args),
    Opt(cli::opt::Args),
    Print(cli::print::Args),
    Run(cli::run::Args),
}

fn main() -> ExitCode {
    let command = Command::parse();
    cli::survive_file_size_limit();
    cli::allow_one_thread();
    let outcome = match command {
        Command::Quantize(args) => cli::quantize::run(&args),
        Command::Bench(args) => cli::bench::run(&args),
        Command::Config(args) => cli::config::run(&args),
        Command::Compare(args) => cli::compare::run(&args),
        Command::Convert(args) => cli::convert::run(&args),
        Command::ConvertQat(args) => cli::convert::run_qat(&args),
        Command::Inspect(args) => cli::inspect::run(&args),
        Command::Opt(args) => cli::opt::run(&args),
        Command::Print(args) => cli::print::run(&args),
        Command::Run(args) => cli::run::run(&args),
    };
    let outcome = outcome.and_then(|code| cli::check_printed().map(|()| code));
    outcome.unwrap_or_else(|error| {
        cli::print_message(&format!("error: {}", described(&error)));
        ExitCode::from(1)
    })
}

/// The text of an error with its contexts and causes, without causes with which the text ends already.
fn described(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if !text.ends_with(&cause) {
            text += if text.is_empty() { "" } else { ": " };
            text += &cause;
        }
    }
    text
}
