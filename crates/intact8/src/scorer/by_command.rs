//! Scores by a command that is given the path of an ONNX file and prints a number on its last line.

use super::Score;
use super::process::{Answered, Ended, Staying, run};
use crate::files::save_model;
use crate::stop::Stop;
use intact8_calibrate::BoxError;
use intact8_ir::{Error, Model, Result};
use intact8_quant::{DeployFormat, Deployed};
use intact8_search::{SavedModel, Scorer, Scoring, Subject};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Scores by a command.
pub struct CommandScorer {
    /// The program and its arguments; where it does not stay, the path of a model comes last.
    pub command: Vec<String>,
    /// How long it may take for one model; `None` is as long as it wants.
    pub timeout: Option<Duration>,
    /// Whether it is started once, reads paths line by line, and answers each with a line that is a number. What takes long to
    /// start is waited for only once.
    pub stays: bool,
    /// Ends the command when the user wants an end.
    pub stop: Stop,
    staying: Option<Staying>,
}

impl CommandScorer {
    /// A scorer by a command line, split into words as a shell does; nothing in it is expanded.
    pub fn parse(line: &str) -> Result<CommandScorer> {
        let command = shlex::split(line).filter(|words| !words.is_empty());
        let command = command.ok_or_else(|| {
            Error::evaluator("the command can't be split into words; check its quotes").at(line)
        })?;
        Ok(CommandScorer { command, timeout: None, stays: false, stop: Stop::default(), staying: None })
    }

    fn failed(&self, message: String) -> Error {
        Error::evaluator(message).at(self.command.join(" "))
    }

    fn start(&self) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).stderr(Stdio::inherit());
        command
    }

    /// What the command says of a model.
    fn answer(&mut self, path: &Path) -> Result<String> {
        let stop = self.stop.clone();
        let is_cancelled = || stop.is_cancelled();
        let staying = self.staying.take();
        let unusable = |error| self.failed(format!("can't be run: {error}"));
        if !self.stays {
            let mut command = self.start();
            command.arg(path).stdin(Stdio::null());
            return match run(&mut command, self.timeout, is_cancelled).map_err(unusable)? {
                Ended::Exited(status, printed) if status.success() => {
                    let printed = String::from_utf8_lossy(&printed);
                    let last = printed.lines().rfind(|line| !line.trim().is_empty());
                    Ok(last.unwrap_or("").trim().to_owned())
                }
                Ended::Exited(status, _) => Err(self.failed(format!("failed with {status}"))),
                Ended::OutOfTime => Err(self.out_of_time()),
                Ended::Cancelled => Err(self.cancelled()),
            };
        }
        let mut staying = match staying {
            Some(staying) => staying,
            None => Staying::start(&mut self.start()).map_err(unusable)?,
        };
        let is_number = |line: &str| line.trim().parse::<f64>().is_ok();
        let question = path.display().to_string();
        match staying.ask(&question, self.timeout, is_cancelled, is_number).map_err(unusable)? {
            Answered::Line(line) => {
                self.staying = Some(staying);
                Ok(line.trim().to_owned())
            }
            Answered::Exited(status) => {
                Err(self.failed(format!("ended with {status} before it gave a number for a model")))
            }
            Answered::OutOfTime => Err(self.out_of_time()),
            Answered::Cancelled => Err(self.cancelled()),
        }
    }

    fn out_of_time(&self) -> Error {
        let limit = self.timeout.unwrap_or_default();
        self.failed(format!("took longer than {limit:?} for a model and was ended"))
    }

    fn cancelled(&self) -> Error {
        self.stop.check().err().unwrap_or_else(|| self.failed("was ended".to_owned()))
    }
}

impl CommandScorer {
    fn score_file(&mut self, path: &Path) -> Result<Score> {
        let answer = self.answer(path)?;
        match answer.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Score::of(vec![number])),
            _ => Err(self.failed(format!("must print a finite number on its last line, found {answer:?}"))),
        }
    }

    fn score_model(&mut self, model: &Model) -> Result<Score> {
        let folder = tempfile::tempdir();
        let folder = folder.map_err(|error| self.failed(format!("no temporary folder: {error}")))?;
        let path = folder.path().join("model.onnx");
        save_model(model, &path)?;
        self.score_file(&path)
    }
}

/// Whether the user's runtime is likely to run a deploy model.
fn is_runnable(deployed: &Deployed) -> bool {
    deployed.format() != DeployFormat::Ascend
}

impl Scorer for CommandScorer {
    type Score = Score;

    /// Trials are scored as they are deployed; of a format that only its own compiler runs, as the simulation.
    fn score(&mut self, subject: Subject<'_>, _: &mut Scoring<'_, Score>) -> Result<Score, BoxError> {
        let began = Instant::now();
        let score = match subject {
            Subject::Original(model) => self.score_model(model),
            Subject::Trial { quantized, deployed, .. } => match deployed.filter(|it| is_runnable(it)) {
                Some(deployed) => self.score_model(deployed.model()),
                None => self.score_model(quantized.fake_quant()),
            },
            Subject::Saved { model: SavedModel::Deployed(deployed), .. } if !is_runnable(deployed) => {
                self.score_model(&deployed.standard()?)
            }
            Subject::Saved { path, .. } => self.score_file(path),
        };
        Ok(score?.measured(began))
    }
}
