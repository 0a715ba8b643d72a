//! The progress of a run for the caller's function, and the early end by a signal or by that function.

use intact8::{Progress, Stop};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The least time between two reports of progress.
const INTERVAL: Duration = Duration::from_millis(100);

/// The exception that ends a run: of a signal, of the caller's progress function, or KeyboardInterrupt of an evaluator.
#[derive(Clone, Default)]
pub(crate) struct Raised(Arc<Mutex<Option<PyErr>>>);

impl Raised {
    /// Keeps the first exception.
    pub(crate) fn set(&self, exception: PyErr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(exception);
    }

    /// The exception, which is then no longer here.
    pub(crate) fn take(&self) -> Option<PyErr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Reports progress to the caller's function, and looks for signals.
pub(crate) struct PythonProgress {
    /// Receives `(event, text, done, total)`.
    callback: Option<Py<PyAny>>,
    stop: Stop,
    raised: Raised,
    stage: String,
    reported: Option<Instant>,
    /// All notes and lines, for the result.
    lines: Arc<Mutex<Vec<String>>>,
}

impl PythonProgress {
    pub(crate) fn new(
        callback: Option<Py<PyAny>>,
        stop: Stop,
        raised: Raised,
        lines: Arc<Mutex<Vec<String>>>,
    ) -> PythonProgress {
        PythonProgress { callback, stop, raised, stage: String::new(), reported: None, lines }
    }

    fn report(&self, event: &str, text: &str, parts: Option<(usize, usize)>) {
        let outcome = Python::attach(|py| {
            py.check_signals()?;
            let Some(callback) = &self.callback else { return Ok(()) };
            let about = PyDict::new(py);
            about.set_item("event", event)?;
            about.set_item("text", text)?;
            about.set_item("done", parts.map(|(done, _)| done))?;
            about.set_item("total", parts.map(|(_, total)| total))?;
            callback.call1(py, (about,)).map(drop)
        });
        if let Err(exception) = outcome {
            self.raised.set(exception);
            self.stop.cancel();
        }
    }

    fn remember(&self, line: &str) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    }
}

impl Progress for PythonProgress {
    fn begin(&mut self, stage: &str) {
        stage.clone_into(&mut self.stage);
        self.reported = None;
        self.report("stage", stage, None);
    }

    fn advance(&mut self, done: usize, total: usize) {
        if self.reported.is_some_and(|reported| reported.elapsed() < INTERVAL) {
            return;
        }
        self.reported = Some(Instant::now());
        self.report("progress", &self.stage, Some((done, total)));
    }

    fn note(&mut self, line: &str) {
        self.remember(line);
        self.report("note", line, None);
    }

    fn trial(&mut self, line: &str) {
        self.report("trial", line, None);
    }

    fn line(&mut self, line: &str) {
        self.remember(line);
        self.report("note", line, None);
    }
}
