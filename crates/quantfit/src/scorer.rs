//! Scorers: what gives a model its numbers.

mod by_command;
mod by_data;
mod cuts;
mod fingerprint;
mod kept;

pub use by_command::CommandScorer;
pub use by_data::DataScorer;

use crate::evaluation::Progress;
use crate::stop::Stop;
use quantfit_ir::{Model, Result};

/// Gives a model its numbers.
pub trait Scorer {
    /// The numbers of a model, one for each goal.
    fn score(&mut self, model: &Model, scoring: &mut Scoring<'_>) -> Result<Score>;
}

/// Says whether numbers miss the goals.
pub type Misses<'a> = &'a dyn Fn(&[f64]) -> bool;

/// What surrounds a scorer's work.
pub struct Scoring<'a> {
    /// Is told how far it is.
    pub progress: &'a mut dyn Progress,
    /// Whether numbers miss the goals; absent if they are wanted whatever they are. A scorer that knows the best that
    /// its numbers can still become may stop if these miss.
    pub misses: Option<Misses<'a>>,
    /// Whether to go on at all.
    pub stop: &'a Stop,
}

/// The numbers of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// One for each goal.
    pub values: Vec<f64>,
    /// How many samples were looked at, if it was not all of them. The values are then the best that they could still
    /// have become, and miss the goals.
    pub stopped_after: Option<usize>,
}
