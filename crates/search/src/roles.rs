//! What the user supplies to a search besides the calibration data: a scorer, a judge, and, if they like, an observer.
//!
//! Each is told explicitly what it works on; none depends on the order of calls to another.

use crate::outcome::Rungs;
use crate::stage::{Interruption, Stage};
use intact8_calibrate::BoxError;
use intact8_ir::{Model, PassObserver, Result};
use intact8_quant::layer::LayerSet;
use intact8_quant::{Deployed, Quantized};
use std::path::Path;

/// Scores models.
pub trait Scorer {
    /// A score, of any type; a [`Judge`] compares two.
    type Score: Clone;

    /// Scores a model.
    ///
    /// # Errors
    /// An [`Error`](intact8_ir::Error) of the kind [`Cancelled`](intact8_ir::ErrorKind::Cancelled) ends the search with the
    /// best so far; so does any other failure after the first trial, which the report then holds.
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

/// What is to be scored.
#[derive(Clone, Copy)]
pub enum Subject<'a> {
    /// The original model, with which all others are compared.
    Original(&'a Model),
    /// A candidate of the search.
    Trial {
        /// Its number, from 0: the first has every layer quantized.
        index: usize,
        /// The candidate as a simulation.
        quantized: &'a Quantized,
        /// The candidate as it would be deployed, if the search was told a deploy format.
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
    /// The simulation, which is run just as it is written.
    FakeQuant(&'a Model),
    /// A deploy model.
    Deployed(&'a Deployed),
}

/// What a scorer may know and must heed.
pub struct Scoring<'a, S> {
    /// The score of the original, once it is known.
    pub original: Option<&'a S>,
    /// The score of the first trial, once it is known.
    pub first: Option<&'a S>,
    /// Whether the target is out of reach with a score, which is the best that a partial one can still become. A scorer that
    /// knows such bounds may stop there and return it. Absent where the score must be complete.
    pub out_of_reach: Option<&'a dyn Fn(&S) -> bool>,
    /// To be called now and then with the work done and the total; an error ends the scoring.
    pub progress: &'a mut dyn FnMut(usize, usize) -> Result<()>,
}

/// Decides whether a score is good enough.
pub trait Judge<S> {
    /// Refuses an original whose score makes the target meaningless, before any time is spent.
    ///
    /// # Errors
    /// The reason.
    fn check_original(&mut self, original: &S) -> Result<(), BoxError> {
        let _ = original;
        Ok(())
    }

    /// Judges a score by that of the original model. The original itself must satisfy.
    ///
    /// # Errors
    /// If the scores can't be compared.
    fn judge(&mut self, original: &S, quantized: &S) -> Result<Verdict, BoxError>;

    /// How far a score is from satisfying, to tell which trial came closest if none satisfies: less is closer.
    fn shortfall(&mut self, original: &S, quantized: &S, verdict: Verdict) -> f64 {
        let _ = (original, quantized);
        verdict.loss
    }

    /// Whether even `best`, the best score that a partly scored trial can still reach, does not satisfy.
    fn is_out_of_reach(&self, original: &S, best: &S) -> bool {
        let _ = (original, best);
        false
    }
}

/// What a judge says of a score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Whether the model is good enough.
    pub satisfied: bool,
    /// How much worse it is than the original, in units of the judge's choice.
    pub loss: f64,
}

impl From<(bool, f64)> for Verdict {
    fn from((satisfied, loss): (bool, f64)) -> Verdict {
        Verdict { satisfied, loss }
    }
}

/// Is told what a search does and which passes it runs, keeps scores for later runs, and may end the search.
pub trait SearchObserver<S>: PassObserver {
    /// Something begins.
    fn stage(&mut self, stage: Stage<'_>) {
        let _ = stage;
    }

    /// Of what has begun, `done` of `total` parts are done.
    ///
    /// # Errors
    /// An error ends it; one of the kind [`Cancelled`](intact8_ir::ErrorKind::Cancelled) is no failure.
    fn progress(&mut self, done: usize, total: usize) -> Result<()> {
        let _ = (done, total);
        Ok(())
    }

    /// Whether the search is to end with the best so far; asked before each trial except the first.
    fn interruption(&mut self) -> Option<Interruption> {
        None
    }

    /// The score of a candidate, if an earlier run over the same data has stored it.
    fn recall(&mut self, candidate: Candidate<'_>) -> Option<S> {
        let _ = candidate;
        None
    }

    /// Receives the score of each candidate as soon as it is known, to store it.
    ///
    /// # Errors
    /// If it can't be stored; the search ends with the error.
    fn scored(&mut self, candidate: Candidate<'_>, score: &S) -> Result<()> {
        let _ = (candidate, score);
        Ok(())
    }
}

/// No observer.
impl<S> SearchObserver<S> for () {}

/// What has a score of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidate<'a> {
    /// The original model.
    Original,
    /// A choice of layers.
    Trial {
        /// The layers left in float.
        rolled_back: &'a LayerSet,
        /// Those that are quantized otherwise than the configuration says.
        rungs: &'a Rungs,
    },
}
