//! The accuracy-driven loop: evaluate, rank, roll back, repeat.
//!
//! [`search()`] finds which layers of a model must stay float so that the user's [`Evaluator`] is satisfied. The rest is
//! pure: a [`Strategy`] is arithmetic on the trials so far, a [`Sensitivity`] compares two outputs. No files here, and
//! no clock.

mod balance;
mod batches;
mod calibrate;
mod evaluator;
mod ladder;
mod mean_error;
mod narrow;
mod outcome;
mod output_noise;
mod prepared;
mod rank;
mod rank_output;
mod ranking;
mod replay;
mod rescore;
mod rounding;
mod row_error;
mod sample;
mod search;
mod sensitivity;
mod strategy;

pub use calibrate::calibrate;
pub use evaluator::{Candidate, Evaluator, EvaluatorError, Interruption, Stage, Verdict};
pub use ladder::{LADDER, Rung, rung_named};
pub use outcome::{Ending, Quantized, Report, Rescored, Rungs, Trial};
pub use prepared::{changed_layers, preparation, prepared};
pub use rank::{ReplayTap, Replayed, rank};
pub use ranking::{Ranked, Ranking};
pub use rescore::rescore;
pub use search::{SearchOptions, search};
pub use sensitivity::{
    Channels, CosineSimilarity, Divergence, MeanSquaredError, OfOutput, SENSITIVITIES, Scope, Sensitivity,
    SensitivityRow, Similarity, Sqnr, decibels, sensitivity_named,
};
pub use strategy::{
    Anytime, BinarySearch, Gallop, Greedy, Minimal, STRATEGIES, Strategy, StrategyRow, WorstFirst,
    strategy_named, trials_ahead,
};
