//! Progress on the standard error: a bar in a terminal; elsewhere a line for each stage and trial, and one every ten seconds.

use super::messages::ProgressKind;
use super::{print_line, print_message};
use indicatif::{ProgressBar, ProgressStyle};
use intact8::Progress;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Shows the current stage, the last trial and the remaining time.
pub(crate) struct Terminal {
    kind: Shown,
    is_verbose: bool,
    stage: String,
    began: Instant,
    last_line: Instant,
    /// The verdict on the last trial.
    last_trial: Option<String>,
    bar: Option<ProgressBar>,
}

/// How progress is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Bar,
    Lines,
    Not,
}

/// The interval of plain lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// The interval at which a bar is drawn.
const TICK: Duration = Duration::from_millis(250);

impl Terminal {
    pub(crate) fn new(kind: ProgressKind, is_verbose: bool) -> Terminal {
        let kind = match kind {
            ProgressKind::Auto if std::io::stderr().is_terminal() => Shown::Bar,
            ProgressKind::Auto | ProgressKind::Plain => Shown::Lines,
            ProgressKind::Never => Shown::Not,
        };
        let now = Instant::now();
        let (stage, last_trial) = (String::new(), None);
        Terminal { kind, is_verbose, stage, began: now, last_line: now, last_trial, bar: None }
    }

    /// A line above the bar.
    fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| print_message(line)),
            None => print_message(line),
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Terminal {
    fn begin(&mut self, stage: &str) {
        self.clear();
        let now = Instant::now();
        (self.stage, self.began, self.last_line) = (stage.to_owned(), now, now);
        match self.kind {
            Shown::Bar => {
                let trial = self.last_trial.as_ref().map_or(String::new(), |trial| format!("; {trial}"));
                let bar = ProgressBar::new_spinner().with_message(format!("{stage}{trial}"));
                bar.set_style(style("{spinner} {elapsed} {wide_msg}"));
                bar.enable_steady_tick(TICK);
                self.bar = Some(bar);
            }
            Shown::Lines => print_message(stage),
            Shown::Not => {}
        }
    }

    fn note(&mut self, line: &str) {
        self.print(line);
    }

    fn notes(&mut self, lines: &[String]) {
        let shown = if self.is_verbose { lines.to_vec() } else { intact8::shortened(lines) };
        shown.iter().for_each(|line| self.print(line));
    }

    fn line(&mut self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| print_line(line)),
            None => print_line(line),
        }
    }

    fn trial(&mut self, line: &str) {
        if self.kind == Shown::Lines || self.is_verbose {
            self.print(line);
        }
        self.last_trial = Some(line.to_owned());
    }

    fn detail(&mut self, line: &str) {
        if self.is_verbose {
            self.print(line);
        }
    }

    fn advance(&mut self, done: usize, total: usize) {
        if let Some(bar) = &self.bar {
            if bar.length() != Some(total as u64) {
                bar.set_length(total as u64);
                bar.set_style(style("{spinner} {elapsed} [{bar:24}] {pos}/{len}, {eta} left: {wide_msg}"));
            }
            bar.set_position(done as u64);
        }
        if self.kind != Shown::Lines || self.last_line.elapsed() < INTERVAL {
            return;
        }
        self.last_line = Instant::now();
        let left = match done {
            0 => "time left unknown".to_owned(),
            _ => {
                let seconds = self.began.elapsed().as_secs_f64() / done as f64 * (total - done) as f64;
                format!("{seconds:.0} s left")
            }
        };
        print_message(&format!("{}: {done}/{total}, {left}", self.stage));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
