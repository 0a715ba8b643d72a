//! Scorers of the command: metrics over data, run by our interpreter, or a command of the user's.

mod by_command;
mod by_data;
mod cuts;
mod fingerprint;
mod in_cache;
mod kept;
mod order;
mod process;

pub use by_command::CommandScorer;
pub use by_data::{DataScorer, OriginalModel};

use crate::data::Noise;
use crate::peak_memory::peak_memory;
use intact8_search::Scorer;
use std::time::Instant;

/// A scorer whose scores are numbers, one for each goal.
pub type AnyScorer = Box<dyn Scorer<Score = Score>>;

/// The numbers of a model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Score {
    /// One for each goal.
    pub values: Vec<f64>,
    /// How many samples were looked at, if it was not all of them. The values are then the best that they could still
    /// have become, and miss the goals.
    pub stopped_after: Option<usize>,
    /// What the samples that were looked at say, one number for each goal, if it was not all of them.
    pub estimates: Vec<f64>,
    /// How far the values may be off because the samples are few, for each goal; empty if nobody knows.
    pub noise: Vec<Noise>,
    /// What each sample contributes to each of them, if all are means of that; of the original and the first trial alone.
    pub contributions: Vec<Vec<f64>>,
    /// What it took.
    pub effort: Effort,
}

impl Score {
    /// A score of which nothing but the values is known.
    pub fn of(values: Vec<f64>) -> Score {
        Score { values, ..Score::default() }
    }

    /// The same score with the time since `began` and the memory that the process has held.
    fn measured(mut self, began: Instant) -> Score {
        self.effort.seconds = began.elapsed().as_secs_f64();
        self.effort.peak_memory = peak_memory();
        self
    }

    /// The values, or what the samples that were looked at say of them.
    pub fn estimates(&self) -> &[f64] {
        if self.estimates.is_empty() { &self.values } else { &self.estimates }
    }
}

/// What it took to score a model.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Effort {
    /// How many samples were looked at, if the scorer knows of samples.
    pub samples: Option<usize>,
    /// How long it took.
    pub seconds: f64,
    /// The most memory, in bytes, that the process had ever held when it was over, where the system tells.
    pub peak_memory: Option<u64>,
}
