//! Ctrl-C: the first interrupt ends the search with the best result so far, the second one ends the program.

use super::print_message;
use anyhow::Context;
use intact8::Stop;

/// The exit code of a program that an interrupt has ended, by the convention of shells.
const INTERRUPTED: i32 = 130;

/// Makes the first interrupt cancel the search.
pub(crate) fn stop_on_interrupt(stop: &Stop) -> anyhow::Result<()> {
    let stop = stop.clone();
    let handler = move || {
        if stop.is_cancelled() {
            std::process::exit(INTERRUPTED);
        }
        stop.cancel();
        print_message("ending with the best result so far; interrupt again to end at once");
    };
    ctrlc::set_handler(handler).context("interrupts can't be caught")
}
