//! Ctrl-C: the first ends the search with the best so far, the second ends the program.

use super::say_error;
use anyhow::Context;
use intact8::Stop;

/// What shells expect of a program that an interrupt has ended.
const INTERRUPTED: i32 = 130;

pub(crate) fn stop_on_interrupt(stop: &Stop) -> anyhow::Result<()> {
    let stop = stop.clone();
    let handler = move || {
        if stop.is_cancelled() {
            std::process::exit(INTERRUPTED);
        }
        stop.cancel();
        say_error("stopping with the best so far; interrupt again to end at once");
    };
    ctrlc::set_handler(handler).context("interrupts can't be caught")
}
