//! Signals. Ctrl-C: the first interrupt ends the search with the best result so far, the second one ends the program. A file that
//! exceeds the limit of the user's shell is an error of writing, and does not end the program.

use super::{ExitCode, print_message};
use intact8::Stop;

/// Makes the first interrupt cancel the search.
pub(crate) fn stop_on_interrupt(stop: &Stop) {
    let stop = stop.clone();
    let handler = move || {
        if stop.is_cancelled() {
            std::process::exit(ExitCode::INTERRUPTED.0.into());
        }
        stop.cancel();
        print_message("ending with the best result so far; interrupt again to end at once");
    };
    // It has a thread of its own.
    if let Err(error) = ctrlc::set_handler(handler) {
        print_message(&format!("an interrupt ends the program without a result: {error}"));
    }
}

/// Makes writing beyond the limit of a file's size fail, where the system would end the program.
pub(crate) fn survive_file_size_limit() {
    #[cfg(unix)]
    {
        use signal_hook::{consts::SIGXFSZ, flag};
        // Without a handler the program is ended, as before.
        drop(flag::register(SIGXFSZ, std::sync::Arc::default()));
    }
}
