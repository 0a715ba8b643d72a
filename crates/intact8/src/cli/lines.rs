//! The lines of results on the standard output, or on the standard error if a file is written to the standard output.

use super::messages::is_quiet;
use anyhow::Context;
use intact8::is_standard_output;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a file is written to the standard output.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The first failure to print a line.
static FAILURE: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// Leaves the standard output to a file if one of the paths is that of the standard output.
pub(crate) fn lines_beside<'a>(mut written: impl Iterator<Item = &'a PathBuf>) {
    if written.any(|path| is_standard_output(path)) {
        IS_TAKEN.store(true, Ordering::Relaxed);
    }
}

/// Prints a line about the run, unless only the result is asked for.
pub(crate) fn print_line(line: &str) {
    if !is_quiet() {
        print_result(line);
    }
}

/// Prints a line of the result.
pub(crate) fn print_result(line: &str) {
    let printed = match IS_TAKEN.load(Ordering::Relaxed) {
        true => writeln!(anstream::stderr(), "{line}"),
        false => writeln!(anstream::stdout(), "{line}"),
    };
    if let (Err(error), Ok(mut failure)) = (printed, FAILURE.lock()) {
        failure.get_or_insert(error);
    }
}

/// Checks that every line was printed. A closed output is not an error: its reader has all that it requires.
pub(crate) fn check_printed() -> anyhow::Result<()> {
    let failure = FAILURE.lock().ok().and_then(|mut failure| failure.take());
    let outcome = failure.map_or_else(|| std::io::stdout().flush(), Err);
    match outcome {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("the standard output"),
        _ => Ok(()),
    }
}
