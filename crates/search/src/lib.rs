//! The accuracy-driven loop: evaluate, rank, roll back, repeat.
//!
//! [`search`] finds which layers of a model must stay float so that the user's [`Evaluator`] is satisfied. The rest is
//! pure: a [`Strategy`] is arithmetic on the trials so far, a [`Sensitivity`] compares two outputs. No files here, and
//! no clock.

mod calibrate;
mod correct_bias;
mod evaluator;
mod rank;
mod replay;
mod search;
mod sensitivity;
mod strategy;

pub use calibrate::calibrate;
pub use evaluator::{Evaluator, EvaluatorError, Stage, Verdict};
pub use rank::{Ranked, Ranking, rank};
pub use search::{Quantized, Report, SearchOptions, Trial, search};
pub use sensitivity::{CosineSimilarity, Sensitivity, sensitivity_named};
pub use strategy::{BinarySearch, Strategy, WorstFirst, strategy_named};
