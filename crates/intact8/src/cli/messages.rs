//! Messages: the options for how much is said, and how; and the lines on the standard error.

use anstream::ColorChoice;
use clap::ValueEnum;
use intact8::ir::one_line;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether only results, warnings and errors are printed.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// How much is said.
#[derive(clap::Args)]
#[command(next_help_heading = "Messages")]
pub(crate) struct MessageArgs {
    /// Print the result, warnings and errors alone
    #[arg(short, long)]
    quiet: bool,
    /// Print every decision: the passes that change the model, the layers in float of each trial, and why
    #[arg(short, long, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    /// Progress: auto, a bar in a terminal and lines elsewhere; plain lines; or never
    #[arg(long, value_name = "HOW", default_value = "auto", hide_possible_values = true)]
    progress: ProgressKind,
}

/// How progress is shown.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressKind {
    /// A bar in a terminal, and lines elsewhere.
    Auto,
    /// Lines.
    Plain,
    /// Not at all.
    Never,
}

impl MessageArgs {
    /// Applies the options to all that is printed from now on. Returns how progress is shown.
    pub(crate) fn apply(&self) -> ProgressKind {
        IS_QUIET.store(self.quiet, Ordering::Relaxed);
        if self.quiet { ProgressKind::Never } else { self.progress }
    }
}

/// Whether lines have colours.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// In a terminal, unless the variable NO_COLOR is set.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// Not at all.
    Never,
}

impl Color {
    /// Applies the choice to all that is printed from now on.
    pub(crate) fn apply(self) {
        let choice = match self {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        choice.write_global();
    }
}

/// Whether only results, warnings and errors are printed.
pub(super) fn is_quiet() -> bool {
    IS_QUIET.load(Ordering::Relaxed)
}

/// Prints a message to the standard error, as one line even if names in it contain line breaks.
pub(crate) fn print_message(line: &str) {
    let style = |word: &str, color: anstyle::AnsiColor| {
        let style = color.on_default().bold();
        Some(format!("{style}{word}{style:#}{}", one_line(line.strip_prefix(word)?)))
    };
    let of_error = style("error:", anstyle::AnsiColor::Red);
    let important = of_error.or_else(|| style("warning:", anstyle::AnsiColor::Yellow));
    let line = match important {
        Some(styled) => styled,
        None if is_quiet() => return,
        None => one_line(line).into_owned(),
    };
    drop(writeln!(anstream::stderr(), "{line}"));
}
