//! `intact8 opt`: runs single passes on a model and shows the result.

use super::usage_error::UsageError;
use super::values::checked;
use super::{lines_beside, print_line, print_message};
use crate::cli::ExitCode;
use anyhow::bail;
use intact8::ir::{Constants, Model, PassObserver, Pipeline};
use intact8::{NAMED_PASSES, NamedPass, load_any_model, save_any_model};
use std::path::PathBuf;
use std::time::Instant;

/// Run passes on a model by name, and print it as text or write it
///
/// Example: intact8 opt model.onnx --pass name-nodes,fold-constants,fold-batch-norm -o folded.onnx
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX file, or a text form (.qir)
    #[arg(required_unless_present = "list")]
    model: Option<PathBuf>,
    /// The passes, in the order in which they run; `--list` shows them
    #[arg(long = "pass", value_name = "PASS,…", value_delimiter = ',', value_parser = checked(NamedPass::named))]
    passes: Vec<String>,
    /// File for the result, as ONNX or as text (.qir); default: the text form on the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the model after each run of these passes
    #[arg(long, value_name = "PASS,…", value_delimiter = ',', value_parser = checked(NamedPass::named))]
    print_after: Vec<String>,
    /// Print constants of more than 16 elements in full; otherwise a written text form has them in `<file>.data`
    #[arg(long)]
    inline_constants: bool,
    /// Print the time of each pass, and whether it changed the model
    #[arg(short = 'v', long = "time")]
    time: bool,
    /// List the passes
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.list {
        let width = NAMED_PASSES.iter().map(|pass| pass.name.len()).max().unwrap_or(0);
        NAMED_PASSES.iter().for_each(|pass| print_line(&format!("{:width$}  {}", pass.name, pass.about)));
        return Ok(ExitCode::SUCCESS);
    }
    lines_beside(args.output.iter());
    let Some(path) = &args.model else { bail!("a model is required") };
    let named = args.passes.iter().map(|name| NamedPass::named(name));
    let passes = named.map(|named| Ok(named?.pass())).collect::<intact8::Result<_>>()?;
    for name in &args.print_after {
        if !args.passes.contains(name) {
            let message = format!("--print-after: the pass {name:?} is not among those of --pass");
            return Err(UsageError::new(message).into());
        }
    }
    let mut model = load_any_model(path)?;
    Pipeline(passes)
        .run_observed(&mut model, &mut Printer { args, started: Instant::now() })
        .map_err(|error| error.at(path.display()))?;
    match &args.output {
        Some(output) => {
            save_any_model(&model, output, args.inline_constants)?;
            print_line(&format!("wrote {}", output.display()));
        }
        None => print(&model, args),
    }
    Ok(ExitCode::SUCCESS)
}

fn print(model: &Model, args: &Args) {
    let constants = if args.inline_constants { Constants::Inline } else { Constants::Elided };
    print_line(model.text(constants).to_string().trim_end());
}

/// Prints the times of passes and the models after them, as the options require.
struct Printer<'a> {
    args: &'a Args,
    started: Instant,
}

impl PassObserver for Printer<'_> {
    fn before(&mut self, _pass: &'static str) {
        self.started = Instant::now();
    }

    fn after(&mut self, pass: &'static str, changed: bool, model: &Model) -> intact8::Result<()> {
        if self.args.time {
            let milliseconds = self.started.elapsed().as_secs_f64() * 1000.0;
            let outcome = if changed { "changed" } else { "unchanged" };
            print_message(&format!("{pass}: {outcome}, {milliseconds:.1} ms"));
        }
        if self.args.print_after.iter().any(|name| name == pass) {
            print_line(&format!("// after {pass}"));
            print(model, self.args);
        }
        Ok(())
    }
}
