//! The scorer by a command of the user's, which receives the path of an ONNX file and prints a number on its last line.

use super::process::{Answer, Meaning, PersistentProcess, ProcessEnd, run};
use super::{Effort, Score};
use crate::file_hash::model_sha256;
use crate::files::save_model;
use crate::stop::Stop;
use crate::temporary::TemporaryFolder;
use intact8_calibrate::BoxError;
use intact8_ir::{Error, Model, Result};
use intact8_quant::{DeployFormat, Deployed, Quantized, emit_fake_quant};
use intact8_search::{SavedModel, Scorer, Scoring, Subject};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A scorer by a command; the score has one value, of which more is better.
pub struct CommandScorer {
    /// The program and its arguments. Unless it is persistent, the path of a model is added as the last argument.
    pub command: Vec<String>,
    /// The time limit for one model; `None` is no limit.
    pub timeout: Option<Duration>,
    /// Whether the command is started only once; it then reads the path of a model from each line of its standard input and
    /// answers with a line that is a number, or the path and a number. A number before a path was received is an error.
    pub is_persistent: bool,
    /// Whether trials are scored as fake-quant models, and as deploy models only if those meet the target.
    pub simulation: bool,
    /// Ends the command when the user cancels the search.
    pub stop: Stop,
    process: Option<PersistentProcess>,
    /// The numbers of the files so far, by their hash: a saved model whose file has the bytes of a trial's is not scored again.
    known: HashMap<String, f64>,
}

impl CommandScorer {
    /// A scorer by a command line, which is split into words like a shell does, without any expansion.
    ///
    /// # Errors
    /// If the line has no words, a quote is not closed, or it needs a shell.
    pub fn parse(line: &str) -> Result<CommandScorer> {
        let command = shlex::split(line).filter(|words| !words.is_empty());
        let command = command.ok_or_else(|| {
            Error::evaluator("the command can't be split into words; check its quotes").at(line)
        })?;
        check_needs_no_shell(line, &command)?;
        Ok(CommandScorer {
            command,
            timeout: None,
            is_persistent: false,
            simulation: false,
            stop: Stop::default(),
            process: None,
            known: HashMap::new(),
        })
    }

    fn failed(&self, message: String) -> Error {
        Error::evaluator(message).at(self.command.join(" "))
    }

    /// The command without a path.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).stderr(Stdio::inherit());
        command
    }

    /// The answer of the command for a model.
    fn answer(&mut self, path: &Path) -> Result<String> {
        let stop = self.stop.clone();
        let is_cancelled = || stop.is_cancelled();
        let running = self.process.take();
        let unusable = |error| self.failed(format!("can't be run: {error}"));
        if !self.is_persistent {
            let mut command = self.command();
            command.arg(path).stdin(Stdio::null());
            return match run(&mut command, self.timeout, is_cancelled).map_err(unusable)? {
                ProcessEnd::Exited(status, printed) if status.success() => {
                    let printed = String::from_utf8_lossy(&printed);
                    let last = printed.lines().rfind(|line| !line.trim().is_empty());
                    Ok(last.unwrap_or("").trim().to_owned())
                }
                ProcessEnd::Exited(status, _) => Err(self.failed(format!("failed with {status}"))),
                ProcessEnd::OutOfTime => Err(self.out_of_time()),
                ProcessEnd::Cancelled => Err(self.cancelled()),
            };
        }
        let mut process = match running {
            Some(process) => process,
            None => PersistentProcess::start(&mut self.command()).map_err(unusable)?,
        };
        let meaning = |line: &str| meaning(line, &path.to_string_lossy());
        match process.ask(path.as_os_str(), self.timeout, is_cancelled, meaning).map_err(unusable)? {
            Answer::Line(line) => {
                self.process = Some(process);
                Ok(without_path(&line, &path.to_string_lossy()).to_owned())
            }
            Answer::Unasked(line) => Err(self.failed(format!(
                "printed {:?} before it received a path; print one number for each path, or the path before the number",
                line.trim()
            ))),
            Answer::Exited(status) => {
                Err(self.failed(format!("exited with {status} before it printed a number for a model")))
            }
            Answer::OutOfTime => Err(self.out_of_time()),
            Answer::Cancelled => Err(self.cancelled()),
        }
    }

    fn out_of_time(&self) -> Error {
        let limit = self.timeout.unwrap_or_default();
        self.failed(format!("took longer than {limit:?} for a model and was ended; raise --eval-timeout"))
    }

    fn cancelled(&self) -> Error {
        self.stop.check().err().unwrap_or_else(|| self.failed("was ended".to_owned()))
    }
}

/// Checks that a line sets no variable before the program, and joins no programs, which only a shell can do.
fn check_needs_no_shell(line: &str, words: &[String]) -> Result<()> {
    const OPERATORS: &[&str] = &["&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1"];
    const BUILTINS: &[&str] = &["cd", "export", "source", "."];
    let is_assignment = |word: &str| {
        let name = word.split_once('=').map(|(name, _)| name);
        let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
        name.is_some_and(|name| {
            name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
        })
    };
    let at = |message: String| Err(Error::evaluator(message).at(line));
    let script = format!("{line} \"$0\"");
    let script = shlex::try_quote(&script).map_or_else(|_| script.clone(), |quoted| quoted.into_owned());
    if is_assignment(&words[0]) {
        return at(format!(
            "no shell runs the command, so {:?} is taken for a program; write env {line}",
            words[0]
        ));
    }
    // A quoted operator may be an argument.
    let is_plain = !line.contains(['\'', '"', '\\']);
    let operator = words.iter().find(|word| is_plain && OPERATORS.contains(&word.as_str()));
    match operator.or(words.first().filter(|word| BUILTINS.contains(&word.as_str()))) {
        Some(word) => at(format!(
            "no shell runs the command, and {word:?} needs one; write sh -c {script}, where $0 is the path of the model"
        )),
        None => Ok(()),
    }
}

impl CommandScorer {
    /// The number that the command prints for a file.
    ///
    /// # Errors
    /// If the command fails, prints no finite number, or is ended.
    pub fn number(&mut self, path: &Path) -> Result<f64> {
        let answer = self.answer(path)?;
        match answer.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(self.failed(format!("must print a finite number on its last line, found {answer:?}"))),
        }
    }

    /// The number that the command prints for a file of a model.
    ///
    /// # Errors
    /// As [`number`](Self::number), or if the file can't be written.
    pub fn number_of_model(&mut self, model: &Model) -> Result<f64> {
        let folder = TemporaryFolder::new().map_err(|error| {
            self.failed(format!("there is no folder for temporary files: {error}; set TMPDIR"))
        })?;
        let path = folder.path().join("model.onnx");
        save_model(model, &path)?;
        let number = self.number(&path)?;
        self.known.insert(model_sha256(&path, model)?, number);
        Ok(number)
    }

    fn score_saved(&mut self, path: &Path, model: &Model) -> Result<Score> {
        match self.known.get(&model_sha256(path, model)?) {
            Some(number) => {
                let effort = Effort { samples: Some(0), ..Effort::default() };
                Ok(Score { effort, ..Score::of(vec![*number]) })
            }
            None => Ok(Score::of(vec![self.number(path)?])),
        }
    }

    fn score_model(&mut self, model: &Model) -> Result<Score> {
        Ok(Score::of(vec![self.number_of_model(model)?]))
    }
}

/// The meaning of a line that a persistent command prints after it has received a path.
fn meaning(line: &str, path: &str) -> Meaning {
    let is_number = |text: &str| text.parse::<f64>().is_ok();
    match (is_number(line.trim()), is_number(without_path(line, path))) {
        (true, _) => Meaning::AnAnswer,
        (false, true) => Meaning::ThisAnswer,
        (false, false) => Meaning::Other,
    }
}

/// A line without the path before its number, and without a colon between them.
fn without_path<'a>(line: &'a str, path: &str) -> &'a str {
    let line = line.trim();
    line.strip_prefix(path).map_or(line, |rest| rest.strip_prefix(':').unwrap_or(rest).trim_start())
}

/// The model of a deploy file that the user's runtime is expected to run; the Ascend format requires its own compiler, so operators
/// of ONNX replace its own.
fn runnable(deployed: &Deployed) -> Result<Cow<'_, Model>> {
    match deployed.format() {
        DeployFormat::Ascend => deployed.standard().map(Cow::Owned),
        _ => Ok(Cow::Borrowed(deployed.model())),
    }
}

/// The fake-quant model of a trial as its file has it.
fn simulated(quantized: &Quantized, deployed: Option<&Deployed>) -> Result<Model> {
    let mut model = quantized.fake_quant().clone();
    if let Some(deployed) = deployed {
        emit_fake_quant(deployed.emission().target).run(&mut model)?;
    }
    Ok(model)
}

impl Scorer for CommandScorer {
    type Score = Score;

    /// Trials are scored as deploy models, which are what is saved.
    fn score(&mut self, subject: Subject<'_>, scoring: &mut Scoring<'_, Score>) -> Result<Score, BoxError> {
        let began = Instant::now();
        let score = match subject {
            Subject::Original(model) => self.score_model(model),
            Subject::Trial { quantized, deployed, .. } => {
                let simulation = (self.simulation || deployed.is_none()).then_some(None);
                let models = simulation.into_iter().chain(deployed.map(Some));
                let scored = scoring.all_of(models, |model, _| match model {
                    None => Ok(self.score_model(&simulated(quantized, deployed)?)?),
                    Some(deployed) => Ok(self.score_model(&*runnable(deployed)?)?),
                });
                return Ok(scored?.measured(began));
            }
            Subject::Saved { model: SavedModel::Deployed(deployed), .. }
                if deployed.format() == DeployFormat::Ascend =>
            {
                self.score_model(&*runnable(deployed)?)
            }
            Subject::Saved { path, model: SavedModel::Deployed(deployed) } => {
                self.score_saved(path, deployed.model())
            }
            Subject::Saved { path, model: SavedModel::FakeQuant { model, .. } } => {
                self.score_saved(path, model)
            }
        };
        Ok(score?.measured(began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_need_a_shell_are_errors() {
        let message = |line: &str| CommandScorer::parse(line).err().map(|error| error.to_string());
        assert_eq!(
            message("CUDA=0 python score.py").unwrap(),
            "CUDA=0 python score.py: no shell runs the command, so \"CUDA=0\" is taken for a program; write env CUDA=0 \
             python score.py"
        );
        assert_eq!(
            message("cd a && ./score").unwrap(),
            "cd a && ./score: no shell runs the command, and \"&&\" needs one; write sh -c 'cd a && ./score \"$0\"', where \
             $0 is the path of the model"
        );
        assert!(message("cd a").unwrap().contains("\"cd\" needs one"));
        for line in
            ["env A=1 ./score", "python s.py --sep '|'", "sh -c 'a && b \"$0\"'", "./a=b/score", "score x=1"]
        {
            assert_eq!(message(line), None);
        }
    }

    #[test]
    fn an_answer_is_a_number_or_the_path_and_a_number() {
        let of = |line: &str| meaning(line, "/tmp/a b/m.onnx");
        assert!(of(" 0.5 ") == Meaning::AnAnswer);
        for line in ["/tmp/a b/m.onnx 0.5", "/tmp/a b/m.onnx: -1e3", "/tmp/a b/m.onnx\t0.5"] {
            assert!(of(line) == Meaning::ThisAnswer, "{line}");
        }
        for line in ["/tmp/a b/other.onnx 0.5", "epoch 3", ""] {
            assert!(of(line) == Meaning::Other, "{line}");
        }
        assert_eq!(without_path("/m: 0.5\n", "/m"), "0.5");
    }
}
