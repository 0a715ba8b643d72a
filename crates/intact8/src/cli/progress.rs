//! Progress on the terminal: a bar once something takes more than a second, plain lines where there is no terminal.

use super::say_error;
use indicatif::{ProgressBar, ProgressStyle};
use intact8::Progress;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Shows what is going on, and how long it will take.
pub(crate) struct Terminal {
    is_terminal: bool,
    what: String,
    began: Instant,
    said: Option<Instant>,
    bar: Option<ProgressBar>,
}

/// What takes less is not worth a bar.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a plain line appears.
const INTERVAL: Duration = Duration::from_secs(10);

impl Terminal {
    pub(crate) fn new() -> Terminal {
        let is_terminal = std::io::stderr().is_terminal();
        Terminal { is_terminal, what: String::new(), began: Instant::now(), said: None, bar: None }
    }

    fn bar(&mut self, total: usize) -> &ProgressBar {
        let style = ProgressStyle::with_template("{msg} [{bar:24}] {pos}/{len}, {eta} left");
        let (what, began) = (self.what.clone(), self.began);
        self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(total as u64).with_message(what).with_elapsed(began.elapsed());
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        })
    }
}

impl Progress for Terminal {
    fn begin(&mut self, what: &str) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        (self.what, self.began, self.said) = (what.to_owned(), Instant::now(), None);
    }

    fn advance(&mut self, done: usize, total: usize) {
        let elapsed = self.began.elapsed();
        if elapsed < PATIENCE {
            return;
        }
        if self.is_terminal {
            self.bar(total).set_position(done as u64);
            return;
        }
        if self.said.is_some_and(|said| said.elapsed() < INTERVAL) {
            return;
        }
        self.said = Some(Instant::now());
        let left = match done {
            0 => "time left unknown".to_owned(),
            _ => format!("{:.0} s left", elapsed.as_secs_f64() / done as f64 * (total - done) as f64),
        };
        say_error(&format!("{}: {done}/{total}, {left}", self.what));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
