//! Scores by a command that is given the path of an ONNX file and prints a number on its last line.

use super::{Score, Scorer, Scoring};
use crate::files::save_model;
use quantfit_ir::{Error, Model, Result};
use std::process::{Command, Stdio};

/// Scores by a command.
pub struct CommandScorer {
    /// The program and its first arguments; the path comes last.
    pub command: Vec<String>,
}

impl CommandScorer {
    /// A scorer by a command line, split into words as a shell does; nothing in it is expanded.
    pub fn parse(line: &str) -> Result<CommandScorer> {
        let command = shlex::split(line).filter(|words| !words.is_empty());
        let command = command.ok_or_else(|| {
            Error::evaluator("the command can't be split into words; check its quotes").at(line)
        })?;
        Ok(CommandScorer { command })
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
        let output = command.output().map_err(|error| failed(format!("can't be run: {error}")))?;
        if scoring.stop.is_cancelled() {
            // The terminal interrupts the command as well, so what it says counts for nothing.
            scoring.stop.check()?;
        }
        if !output.status.success() {
            return Err(failed(format!("failed with {}", output.status)));
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        let last = printed.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("").trim();
        match last.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Score { values: vec![number], stopped_after: None }),
            _ => Err(failed(format!("must print a number on its last line, found {last:?}"))),
        }
    }
}
