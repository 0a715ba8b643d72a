//! The roles that a caller supplies to a search besides the calibration data: a scorer, a judge and, optionally, an observer.
//!
//! Each receives explicitly what it works on; none depends on the order of calls to another. Strategies and sensitivities
//! are in modules of their own.

use crate::outcome::Rungs;
use crate::stage::{Interruption, Stage};
use intact8_calibrate::BoxError;
use intact8_ir::{Error, Model, PassObserver, Result};
use intact8_quant::layer::LayerSet;
use intact8_quant::{Deployed, Quantized};
use std::path::Path;

/// Scores models. The search does not run models to score them; a scorer may use any runtime.
pub trait Scorer {
    /// A score, of any type; a [`Judge`] compares two scores.
    type Score: Clone;

    /// Scores a model.
    ///
    /// # Errors
    /// Any. An [`Error`] of the kind [`Cancelled`](intact8_ir::ErrorKind::Cancelled) ends the search with
    /// the best result so far; after the first trial any other error does so too, and is then in
    /// [`Report::failure`](crate::Report::failure).
    fn score(
        &mut self,
        subject: Subject<'_>,
        scoring: &mut Scoring<'_, Self::Score>,
    ) -> Result<Self::Score, BoxError>;
}

impl<S: Scorer + ?Sized> Scorer for Box<S> {
    type Score = S::Score;

    fn score(
        &mut self,
        subject: Subject<'_>,
        scoring: &mut Scoring<'_, S::Score>,
    ) -> Result<S::Score, BoxError> {
        (**self).score(subject, scoring)
    }
}

/// A model to score.
#[derive(Clone, Copy)]
pub enum Subject<'a> {
    /// The original model; all other scores are compared with its score.
    Original(&'a Model),
    /// A candidate of the search.
    Trial {
        /// The index of the trial, from 0; the first trial has every layer quantized.
        index: usize,
        /// The candidate with its fake-quant model.
        quantized: &'a Quantized,
        /// The candidate as a deploy model, if the options of the search name a deploy format.
        deployed: Option<&'a Deployed>,
    },
    /// A model that was written to a file and read back.
    Saved {
        /// The file.
        path: &'a Path,
        /// The model.
        model: SavedModel<'a>,
    },
}

/// A model that was read back from a file.
#[derive(Clone, Copy)]
pub enum SavedModel<'a> {
    /// The fake-quant model.
    FakeQuant {
        /// The model.
        model: &'a Model,
        /// What is deployed of it, if it is known: a scorer may score that in its place.
        deployed: Option<&'a Deployed>,
    },
    /// A deploy model.
    Deployed(&'a Deployed),
}

/// The context of a scoring: known scores, the limit at which to stop, and progress.
pub struct Scoring<'a, S> {
    /// The score of the original model; `None` while that is being scored.
    pub original: Option<&'a S>,
    /// The score of the first trial; `None` until it is known.
    pub first: Option<&'a S>,
    /// Whether the target can't be met with a score. A scorer that knows the best score that a partly scored model can
    /// still reach may pass it, and if the result is true, stop and return it. `None` if the score must be complete.
    pub out_of_reach: Option<&'a dyn Fn(&S) -> bool>,
    /// Whether a complete score misses the target; `None` while the original is scored. See [`all_of`](Scoring::all_of).
    pub misses: Option<&'a dyn Fn(&S) -> bool>,
    /// The scorer should call it regularly, with the amount of work done and in total, in any unit; an error must end the
    /// scoring.
    pub progress: &'a mut dyn FnMut(usize, usize) -> Result<()>,
}

impl<S> Scoring<'_, S> {
    /// Scores several models that must all meet the target for a trial to meet it: in order, up to the first that misses it. Returns
    /// that score, and if there is none the score of the first model.
    ///
    /// # Errors
    /// As `score`; if there is no model.
    pub fn all_of<T>(
        &mut self,
        models: impl IntoIterator<Item = T>,
        mut score: impl FnMut(T, &mut Scoring<'_, S>) -> Result<S, BoxError>,
    ) -> Result<S, BoxError> {
        let mut models = models.into_iter();
        let first = models.next().ok_or_else(|| Error::evaluator("there is no model to score"))?;
        let first = score(first, self)?;
        if self.is_missed_with(&first) {
            return Ok(first);
        }
        for model in models {
            let further = score(model, self)?;
            if self.is_missed_with(&further) {
                return Ok(further);
            }
        }
        Ok(first)
    }

    /// Whether a complete score is known to miss the target.
    pub fn is_missed_with(&self, score: &S) -> bool {
        self.misses.is_some_and(|misses| misses(score))
    }
}

/// Decides whether a score is good enough.
pub trait Judge<S> {
    /// Checks that the target makes sense with the original's score, before calibration starts.
    ///
    /// # Errors
    /// If it does not, with the reason.
    fn check_original(&mut self, original: &S) -> Result<(), BoxError> {
        let _ = original;
        Ok(())
    }

    /// Judges a score by that of the original model. The original's own score must meet the target.
    ///
    /// # Errors
    /// If the scores can't be compared.
    fn judge(&mut self, original: &S, quantized: &S) -> Result<Verdict, BoxError>;

    /// The distance of a score from the target, which tells the closest trial if none meets it; less is closer. By default the
    /// loss.
    fn shortfall(&mut self, original: &S, quantized: &S, verdict: Verdict) -> f64 {
        let _ = (original, quantized);
        verdict.loss
    }

    /// Whether even `best`, the best score that a partly scored trial can still reach, misses the target. By default false, so
    /// that every trial is scored completely.
    fn is_out_of_reach(&self, original: &S, best: &S) -> bool {
        let _ = (original, best);
        false
    }
}

/// A judge's verdict on a score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Whether the target is met.
    pub satisfied: bool,
    /// The loss against the original, in a unit of the judge's choice; negative for a gain, never NaN.
    pub loss: f64,
}

impl From<(bool, f64)> for Verdict {
    fn from((satisfied, loss): (bool, f64)) -> Verdict {
        Verdict { satisfied, loss }
    }
}

/// Observes a search and the passes that it runs, stores its scores for later runs, and may end it. All methods have defaults that
/// do nothing.
pub trait SearchObserver<S>: PassObserver {
    /// A stage begins.
    fn stage(&mut self, stage: Stage<'_>) {
        let _ = stage;
    }

    /// A layer is left out of the current stage of calibration, for that reason.
    fn left_out(&mut self, layer: &str, why: &str) {
        let _ = (layer, why);
    }

    /// Of the current stage, `done` of `total` parts are finished.
    ///
    /// # Errors
    /// An error ends the stage; one of the kind [`Cancelled`](intact8_ir::ErrorKind::Cancelled) ends the search without a
    /// failure.
    fn progress(&mut self, done: usize, total: usize) -> Result<()> {
        let _ = (done, total);
        Ok(())
    }

    /// The reason to end the search with the best result so far, if there is one. The search asks before each trial except the
    /// first.
    fn interruption(&mut self) -> Option<Interruption> {
        None
    }

    /// The score of a candidate, if an earlier run over the same model, configuration and data has stored it.
    fn recall(&mut self, candidate: Candidate<'_>) -> Option<S> {
        let _ = candidate;
        None
    }

    /// A trial was judged: the last one of the report.
    fn judged(&mut self, report: &crate::Report<S>) {
        let _ = report;
    }

    /// Receives the score of each candidate as soon as it is known.
    ///
    /// # Errors
    /// If the observer can't store it; the search ends with the error.
    fn scored(&mut self, candidate: Candidate<'_>, score: &S) -> Result<()> {
        let _ = (candidate, score);
        Ok(())
    }
}

/// No observer.
impl<S> SearchObserver<S> for () {}

/// The key of a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidate<'a> {
    /// The original model.
    Original,
    /// A choice of layers.
    Trial {
        /// The layers left in float.
        rolled_back: &'a LayerSet,
        /// The layers that are quantized with the settings of a rung.
        rungs: &'a Rungs,
    },
}
