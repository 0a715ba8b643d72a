//! Progress on the standard error: a bar for stages of more than a second, or plain lines if it is not a terminal.

use super::{print_line, print_message};
use indicatif::{ProgressBar, ProgressStyle};
use intact8::Progress;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Shows the current stage and the remaining time.
pub(crate) struct Terminal {
    is_terminal: bool,
    stage: String,
    began: Instant,
    last_line: Option<Instant>,
    bar: Option<ProgressBar>,
}

/// The time after which progress of a stage is shown.
const DELAY: Duration = Duration::from_secs(1);
/// The interval of plain lines.
const INTERVAL: Duration = Duration::from_secs(10);

impl Terminal {
    pub(crate) fn new() -> Terminal {
        let is_terminal = std::io::stderr().is_terminal();
        Terminal { is_terminal, stage: String::new(), began: Instant::now(), last_line: None, bar: None }
    }

    fn bar(&mut self, total: usize) -> &ProgressBar {
        let style = ProgressStyle::with_template("{msg} [{bar:24}] {pos}/{len}, {eta} left");
        let (stage, began) = (self.stage.clone(), self.began);
        self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(total as u64).with_message(stage).with_elapsed(began.elapsed());
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        })
    }
}

impl Progress for Terminal {
    fn begin(&mut self, stage: &str) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        (self.stage, self.began, self.last_line) = (stage.to_owned(), Instant::now(), None);
    }

    fn note(&mut self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| print_message(line)),
            None => print_message(line),
        }
    }

    fn line(&mut self, line: &str) {
        print_line(line);
    }

    fn advance(&mut self, done: usize, total: usize) {
        let elapsed = self.began.elapsed();
        if elapsed < DELAY {
            return;
        }
        if self.is_terminal {
            self.bar(total).set_position(done as u64);
            return;
        }
        if self.last_line.is_some_and(|last| last.elapsed() < INTERVAL) {
            return;
        }
        self.last_line = Some(Instant::now());
        let left = match done {
            0 => "time left unknown".to_owned(),
            _ => format!("{:.0} s left", elapsed.as_secs_f64() / done as f64 * (total - done) as f64),
        };
        print_message(&format!("{}: {done}/{total}, {left}", self.stage));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
