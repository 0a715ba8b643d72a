//! A ready-made evaluator: calibrates on a data set, scores by data or by a command, and judges by the drop.

use crate::data::{DataSet, Feed, Metric};
use crate::files::save_model;
use quantfit_interp::Session;
use quantfit_ir::{Error, Model, Result, Tensor};
use quantfit_search::{Evaluator, EvaluatorError, Stage, Verdict};
use std::process::{Command, Stdio};

/// Calibrates, scores and judges by one number; larger is better.
pub struct Evaluation {
    /// The calibration data.
    pub calibration: Feed,
    /// Gives the number.
    pub scorer: Box<dyn Scorer>,
    /// How much less than the original's is good enough.
    pub max_drop: MaxDrop,
    /// Is told how far things are.
    pub progress: Box<dyn Progress>,
}

/// Gives a model a number.
pub trait Scorer {
    /// The number of a model; larger is better.
    fn score(&mut self, model: &Model, progress: &mut dyn Progress) -> Result<f64>;
}

/// Is told how far things are.
pub trait Progress {
    /// Something begins.
    fn begin(&mut self, what: &str);

    /// Of what has begun, so much is done.
    fn advance(&mut self, done: usize, total: usize);
}

/// Nobody watches.
impl Progress for () {
    fn begin(&mut self, _what: &str) {}
    fn advance(&mut self, _done: usize, _total: usize) {}
}

/// How much the metric may fall.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxDrop {
    /// By this much.
    Absolute(f64),
    /// By this part of the original's, 0.01 for one percent.
    Relative(f64),
}

impl MaxDrop {
    /// Parses `0.01` as absolute and `1%` as relative.
    pub fn parse(text: &str) -> Result<MaxDrop> {
        let (number, percent) = match text.strip_suffix('%') {
            Some(number) => (number, true),
            None => (text, false),
        };
        match number.trim().parse::<f64>() {
            Ok(number) if number >= 0.0 && number.is_finite() => {
                Ok(if percent { MaxDrop::Relative(number / 100.0) } else { MaxDrop::Absolute(number) })
            }
            _ => Err(Error::invalid_config(format!(
                "{text:?} is no drop; write 0.01, or 1% of the original's metric"
            ))),
        }
    }

    /// The verdict on a metric; the loss is in the units of the drop.
    pub fn judge(self, original: f64, quantized: f64) -> Verdict {
        let loss = match self {
            MaxDrop::Absolute(_) => original - quantized,
            MaxDrop::Relative(_) if original == quantized => 0.0,
            MaxDrop::Relative(_) => (original - quantized) / original.abs(),
        };
        let (MaxDrop::Absolute(limit) | MaxDrop::Relative(limit)) = self;
        // A drop of just the limit passes, whatever rounding made of it.
        Verdict { satisfied: loss <= limit + 1e-12, loss }
    }
}

impl Evaluator for Evaluation {
    type Metric = f64;

    fn calibration(
        &mut self,
        batch_num: usize,
        forward: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), EvaluatorError> {
        let n_batches = batch_num.min(self.calibration.n_batches());
        for (idx, samples) in self.calibration.batches().take(n_batches).enumerate() {
            self.progress.advance(idx, n_batches);
            forward(&self.calibration.inputs(samples)?)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, model: &Model) -> Result<f64, EvaluatorError> {
        Ok(self.scorer.score(model, &mut *self.progress)?)
    }

    fn metric_eval(&mut self, original: &f64, quantized: &f64) -> Result<Verdict, EvaluatorError> {
        Ok(self.max_drop.judge(*original, *quantized))
    }

    fn announce(&mut self, stage: Stage<'_>) {
        let what = match stage {
            Stage::Original => "scoring the original".to_owned(),
            Stage::Calibration => "calibrating".to_owned(),
            Stage::Trial { index: 0, n_layers, .. } => format!("scoring all {n_layers} layers in int8"),
            Stage::Trial { rolled_back, n_layers, .. } => {
                format!("scoring {} of {n_layers} layers in float", rolled_back.len())
            }
            Stage::Ranking => "ranking the layers".to_owned(),
        };
        self.progress.begin(&what);
    }
}

/// Scores by a metric over a data set, run by our interpreter.
pub struct DataScorer {
    /// The samples.
    pub evaluation: Feed,
    /// Their labels.
    pub labels: Vec<i64>,
    /// What is counted.
    pub metric: &'static Metric,
}

impl DataScorer {
    /// A scorer of the samples of a feed, with the labels from the data set that they come from.
    pub fn new(evaluation: Feed, data: &DataSet, metric: &'static Metric) -> Result<DataScorer> {
        let labels = data.targets("labels", evaluation.n_samples())?;
        let labels = crate::data::labels(labels).map_err(|error| error.at(&data.source))?;
        Ok(DataScorer { evaluation, labels, metric })
    }
}

impl Scorer for DataScorer {
    fn score(&mut self, model: &Model, progress: &mut dyn Progress) -> Result<f64> {
        let session = Session::new(model)?;
        let mut sum = 0.0;
        for (idx, samples) in self.evaluation.batches().enumerate() {
            progress.advance(idx, self.evaluation.n_batches());
            let outputs = session.run(&self.evaluation.inputs(samples.clone())?)?;
            sum += (self.metric.scores)(&outputs, &self.labels[samples])?.iter().sum::<f64>();
        }
        Ok(sum / self.evaluation.n_samples() as f64)
    }
}

/// Scores by a command that is given the path of an ONNX file and prints a number on its last line.
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
    fn score(&mut self, model: &Model, _progress: &mut dyn Progress) -> Result<f64> {
        let failed = |message: String| Error::evaluator(message).at(self.command.join(" "));
        let folder = tempfile::tempdir().map_err(|error| failed(format!("no temporary folder: {error}")))?;
        let path = folder.path().join("model.onnx");
        save_model(model, &path)?;
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).arg(&path).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output().map_err(|error| failed(format!("can't be run: {error}")))?;
        if !output.status.success() {
            return Err(failed(format!("failed with {}", output.status)));
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        let last = printed.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("").trim();
        match last.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(failed(format!("must print a number on its last line, found {last:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_absolute_or_relative() {
        assert_eq!(MaxDrop::parse("0.01").unwrap(), MaxDrop::Absolute(0.01));
        assert_eq!(MaxDrop::parse("1%").unwrap(), MaxDrop::Relative(0.01));
        assert!(
            MaxDrop::parse("-1").is_err()
                && MaxDrop::parse("much").is_err()
                && MaxDrop::parse("nan").is_err()
        );
        assert!(MaxDrop::Absolute(0.1).judge(0.9, 0.8).satisfied);
        assert!(!MaxDrop::Absolute(0.1).judge(0.9, 0.79).satisfied);
        // One percent of -2 is 0.02.
        assert!(MaxDrop::Relative(0.01).judge(-2.0, -2.02).satisfied);
        assert!(!MaxDrop::Relative(0.01).judge(-2.0, -2.03).satisfied);
        assert!(!MaxDrop::Relative(0.01).judge(0.5, f64::NAN).satisfied);
    }
}
