//! The accuracy-driven loop: evaluate, rank, roll back, repeat.
//!
//! [`search()`] finds which layers of a model must stay float so that the user's [`Judge`] is satisfied with what their
//! [`Scorer`] says. The rest is small: a [`Strategy`] names the layers to roll back, a [`Sensitivity`] compares two outputs.
//! Here are no files and no clock, and calibration is the business of [`intact8_calibrate`].

mod ladder;
mod options;
mod outcome;
mod rank;
mod rank_output;
mod ranking;
mod rescore;
mod roles;
mod search;
mod sensitivity;
mod stage;
mod strategy;

pub use ladder::{LADDER, Rung, rung_named};
pub use options::SearchOptions;
pub use outcome::{Ending, Outcome, Report, Rescored, Rungs, Trial};
pub use rank::{ReplayTap, Replayed, rank};
pub use ranking::{Ranked, Ranking};
pub use rescore::rescore;
pub use roles::{Candidate, Judge, SavedModel, Scorer, Scoring, SearchObserver, Subject, Verdict};
pub use search::{Roles, search};
pub use sensitivity::{
    Channels, CosineSimilarity, Divergence, MeanSquaredError, OfOutput, SENSITIVITIES, Scope, Sensitivity,
    SensitivityRow, Similarity, Sqnr, decibels, sensitivity_named,
};
pub use stage::{Interruption, Stage};
pub use strategy::{
    Anytime, BinarySearch, Gallop, Greedy, Minimal, PureStrategy, STRATEGIES, Strategy, StrategyRow,
    WorstFirst, strategy_named, trials_ahead,
};
