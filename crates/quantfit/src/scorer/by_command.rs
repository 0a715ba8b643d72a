//! Scores by a command that is given the path of an ONNX file and prints a number on its last line.

use super::process::{Ended, run};
use super::{Score, Scorer, Scoring};
use crate::files::save_model;
use quantfit_ir::{Error, Model, Result};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Scores by a command.
pub struct CommandScorer {
    /// The program and its first arguments; the path comes last.
    pub command: Vec<String>,
    /// How long it may take for one model; `None` is as long as it wants.
    pub timeout: Option<Duration>,
}

impl CommandScorer {
    /// A scorer by a command line, split into words as a shell does; nothing in it is expanded.
    pub fn parse(line: &str) -> Result<CommandScorer> {
        let command = shlex::split(line).filter(|words| !words.is_empty());
        let command = command.ok_or_else(|| {
            Error::evaluator("the command can't be split into words; check its quotes").at(line)
        })?;
        Ok(CommandScorer { command, timeout: None })
    }
}

impl Scorer for CommandScorer {
    fn score(&mut self, model: &Model, scoring: &mut Scoring<'_>) -> Result<Score> {
        let failed = |message: String| Error::evaluator(message).at(self.command.join(" "));
        let folder = tempfile::tempdir().map_err(|error| failed(format!("no temporary folder: {error}")))?;
        let path = folder.path().join("model.onnx");
        save_model(model, &path)?;
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).arg(&path).stdin(Stdio::null()).stderr(Stdio::inherit());
        let ended = run(&mut command, self.timeout, || scoring.stop.is_cancelled());
        let (status, printed) = match ended.map_err(|error| failed(format!("can't be run: {error}")))? {
            Ended::Exited(status, printed) => (status, printed),
            Ended::OutOfTime => {
                let limit = self.timeout.unwrap_or_default();
                return Err(failed(format!("took longer than {limit:?} for a model and was ended")));
            }
            Ended::Cancelled => {
                scoring.stop.check()?;
                return Err(failed("was ended".to_owned()));
            }
        };
        if !status.success() {
            return Err(failed(format!("failed with {status}")));
        }
        let printed = String::from_utf8_lossy(&printed);
        let last = printed.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("").trim();
        match last.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Score::of(vec![number])),
            _ => Err(failed(format!("must print a finite number on its last line, found {last:?}"))),
        }
    }
}
