//! The user's side of the bargain: data to calibrate with, a score, and a judgement.

use crate::outcome::Rungs;
use intact8_ir::{Error, Model, Result, Tensor};
use std::error::Error as StdError;

/// What the functions of an evaluator may fail with: anything.
pub type EvaluatorError = Box<dyn StdError + Send + Sync>;

/// Calibrates, scores and judges models.
pub trait Evaluator {
    /// A score, of whatever type; only [`Evaluator::metric_eval`] reads it.
    type Metric: Clone;

    /// Calls `forward` with the inputs of at least `batch_num` batches, one tensor for each model input, in order.
    /// Is called to calibrate, and again to rank the layers; it must give the same data each time.
    fn calibration(
        &mut self,
        batch_num: usize,
        forward: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), EvaluatorError>;

    /// Scores a model.
    fn evaluate(&mut self, model: &Model) -> Result<Self::Metric, EvaluatorError>;

    /// Judges a score by that of the original model. The original itself must satisfy.
    fn metric_eval(
        &mut self,
        original: &Self::Metric,
        quantized: &Self::Metric,
    ) -> Result<Verdict, EvaluatorError>;

    /// How far a score is from satisfying, to tell which trial came closest if none satisfies: less is closer. The loss,
    /// unless the evaluator knows better.
    fn shortfall(&mut self, original: &Self::Metric, quantized: &Self::Metric, verdict: Verdict) -> f64 {
        let _ = (original, quantized);
        verdict.loss
    }

    /// Is told what comes next, for those who show progress.
    fn announce(&mut self, stage: Stage<'_>) {
        let _ = stage;
    }

    /// Whether the search is to end with the best so far; asked before each trial but the first, and when one of the
    /// functions above has failed with [`ErrorKind::Cancelled`](intact8_ir::ErrorKind::Cancelled).
    fn interruption(&mut self) -> Option<Interruption> {
        None
    }

    /// The score of a candidate, if an earlier run over the same data has written it down.
    fn recall(&mut self, candidate: Candidate<'_>) -> Option<Self::Metric> {
        let _ = candidate;
        None
    }

    /// Is given the score of each candidate as soon as it is known, to write it down.
    fn scored(&mut self, candidate: Candidate<'_>, metric: &Self::Metric) -> Result<(), EvaluatorError> {
        let _ = (candidate, metric);
        Ok(())
    }
}

/// What can be scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidate<'a> {
    /// The original model.
    Original,
    /// The simulation of quantization.
    RolledBack {
        /// The layers left in float.
        layers: &'a [String],
        /// Those that are quantized otherwise than the configuration says.
        rungs: &'a Rungs,
    },
}

/// Why a search is to end before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// Time is up.
    OutOfTime,
    /// The user wants an end.
    Cancelled,
}

/// What the search does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage<'a> {
    /// The original model is scored.
    Original,
    /// Statistics of the activations are collected.
    Calibration,
    /// A trial is scored.
    Trial {
        /// Which one, from 0: the first has every layer quantized.
        index: usize,
        /// The layers that are left in float.
        rolled_back: &'a [String],
        /// How many layers there are.
        n_layers: usize,
        /// How many trials are to come after this one, if things go on as they look; see
        /// [`trials_ahead`](crate::trials_ahead).
        n_ahead: usize,
    },
    /// The layers are replayed one by one and ranked.
    Ranking,
    /// A model that was saved is read back from its file and scored.
    Saved {
        /// Which one, as [`Rescored`](crate::Rescored) says.
        name: &'a str,
    },
}

/// What an evaluator thinks of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Whether the model is good enough.
    pub satisfied: bool,
    /// How much worse it is than the original.
    pub loss: f64,
}

impl From<(bool, f64)> for Verdict {
    fn from((satisfied, loss): (bool, f64)) -> Verdict {
        Verdict { satisfied, loss }
    }
}

/// An evaluator's failure as an error of ours; one that was ours already passes through.
pub(crate) fn failed(error: EvaluatorError) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(error) => Error::evaluator(error.to_string()),
    }
}

/// Gives batches, and is content.
#[cfg(test)]
pub(crate) struct Batches(pub(crate) Vec<Tensor>);

#[cfg(test)]
impl Evaluator for Batches {
    type Metric = ();

    fn calibration(
        &mut self,
        batch_num: usize,
        forward: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), EvaluatorError> {
        self.0.iter().cycle().take(batch_num).try_for_each(|batch| forward(std::slice::from_ref(batch)))?;
        Ok(())
    }

    fn evaluate(&mut self, _: &Model) -> Result<(), EvaluatorError> {
        Ok(())
    }

    fn metric_eval(&mut self, _: &(), _: &()) -> Result<Verdict, EvaluatorError> {
        Ok(Verdict { satisfied: true, loss: 0.0 })
    }
}
