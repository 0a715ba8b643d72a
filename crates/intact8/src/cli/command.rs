//! The command line as a whole: the subcommands, and the exit code.

use super::exit_code::HELP;
use super::messages::Color;
use super::recipe::{SUBCOMMAND, WrittenRecipe, one_line_of, with_recipe};
use super::usage_error::UsageError;
use super::{
    ExitCode, bench, calibrate, compare, config, convert, inspect, merge, opt, overwritten, print, quantize,
    run, score, shell, work, written_paths,
};
use super::{allow_one_thread, check_printed, print_message, survive_file_size_limit};
use clap::error::ErrorKind as ErrorOf;
use clap::{CommandFactory, FromArgMatches, Parser};
use intact8::ErrorKind;
use std::ffi::OsString;
use std::sync::OnceLock;

/// Accuracy-driven int8 quantization of ONNX models.
#[derive(Parser)]
#[command(name = "intact8", bin_name = "intact8", version, about, max_term_width = 80, after_help = HELP)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// Colours: auto, in a terminal unless NO_COLOR is set; always; or never
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true, hide_possible_values = true)]
    color: Color,
}

#[derive(clap::Subcommand)]
enum Command {
    Quantize(Box<quantize::Args>),
    Bench(bench::Args),
    Calibrate(Box<calibrate::Args>),
    Config(config::Args),
    Compare(compare::Args),
    Convert(convert::Args),
    ConvertQat(convert::QatArgs),
    Inspect(inspect::Args),
    Merge(merge::Args),
    Opt(opt::Args),
    Print(print::Args),
    Run(run::Args),
    Score(score::Args),
    Work(work::Args),
    Completions(shell::CompletionArgs),
    Man(shell::ManArgs),
}

/// The words of the command line.
static TYPED: OnceLock<Vec<OsString>> = OnceLock::new();

/// Runs the `intact8` command and returns its exit code. `words` are the name of the program and the arguments. It prints to the
/// standard output and error, and may set handlers for signals, so it is for processes that do nothing else.
pub fn run_command(words: Vec<OsString>) -> u8 {
    let words = TYPED.get_or_init(|| words);
    let of_program = CommandLine::command();
    let expanded = match with_recipe(&of_program, words) {
        Ok(expanded) => expanded,
        Err(error) => return failed(&error, |_| None).0,
    };
    let parsed = of_program.clone().try_get_matches_from(&expanded.words).and_then(|matches| {
        let parsed = CommandLine::from_arg_matches(&matches)
            .map_err(|error| error.format(&mut CommandLine::command()))?;
        Ok((parsed, matches))
    });
    let (CommandLine { command, color }, matches) = match parsed {
        Ok(parsed) => parsed,
        // A value needs no summary of the options.
        Err(error) if matches!(error.kind(), ErrorOf::ValueValidation | ErrorOf::InvalidValue) => {
            let error = UsageError::new(one_line_of(&error)).into();
            return failed(&error, |_| None).0;
        }
        Err(error) => {
            // Where nothing can be printed there is nobody to tell.
            drop(error.print());
            let ExitCode(code) = if error.use_stderr() { ExitCode::USAGE } else { ExitCode::SUCCESS };
            return code;
        }
    };
    let recipe = || {
        let (of_command, matches) =
            (of_program.find_subcommand(SUBCOMMAND), matches.subcommand_matches(SUBCOMMAND));
        of_command.zip(matches).map_or_else(WrittenRecipe::default, |(of_command, matches)| {
            WrittenRecipe::of(of_command, matches, expanded.left_out.clone())
        })
    };
    color.apply();
    survive_file_size_limit();
    allow_one_thread();
    let checked = overwritten::check(&matches).and_then(|()| written_paths::check(&matches));
    let checked = checked.and_then(|()| Ok(intact8::choose_kernels()?));
    let outcome = checked.and_then(|()| match command {
        Command::Quantize(args) => quantize::run(&args, recipe()),
        Command::Bench(args) => bench::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::ConvertQat(args) => convert::run_qat(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Opt(args) => opt::run(&args),
        Command::Print(args) => print::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Work(args) => work::run(&args),
        Command::Completions(args) => shell::completions(&args, CommandLine::command()),
        Command::Man(args) => shell::man(&args, CommandLine::command()),
    });
    let outcome = outcome.and_then(|code| check_printed().map(|()| code));
    let ExitCode(code) = outcome.unwrap_or_else(|error| failed(&error, |text| expanded.origin(text)));
    code
}

/// Prints an error, and returns the exit code. `origin` is what an error of usage adds: which recipe has the options.
fn failed(error: &anyhow::Error, origin: impl Fn(&str) -> Option<String>) -> ExitCode {
    let text = described(error);
    let origin = error.is::<UsageError>().then(|| origin(&text)).flatten();
    let origin = origin.map_or(String::new(), |origin| format!("; {origin}"));
    print_message(&format!("error: {text}{origin}"));
    let cancelled = |error: &intact8::Error| error.kind == ErrorKind::Cancelled;
    let is_cancelled = error.chain().filter_map(|cause| cause.downcast_ref()).any(cancelled);
    match error.is::<UsageError>() {
        true => ExitCode::USAGE,
        false if is_cancelled => ExitCode::INTERRUPTED,
        false => ExitCode::ERROR,
    }
}

/// The words of the command line as the user typed them.
pub(super) fn typed() -> Vec<String> {
    TYPED.get().into_iter().flatten().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// The text of an error with its contexts and causes, without causes with which the text ends already.
pub(super) fn described(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if !text.ends_with(&cause) {
            text += if text.is_empty() { "" } else { ": " };
            text += &cause;
        }
    }
    text
}
