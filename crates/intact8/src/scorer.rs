//! Scorers: what gives a model its numbers.

mod by_command;
mod by_data;
mod cuts;
mod fingerprint;
mod in_cache;
mod kept;
mod order;
mod process;

pub use by_command::CommandScorer;
pub use by_data::DataScorer;

use crate::data::Noise;
use crate::evaluation::Progress;
use crate::stop::Stop;
use intact8_ir::{Model, Result};

/// Gives a model its numbers.
pub trait Scorer {
    /// The numbers of a model, one for each goal.
    fn score(&mut self, model: &Model, scoring: &mut Scoring<'_>) -> Result<Score>;
}

/// Says whether numbers miss the goals.
pub type Misses<'a> = &'a dyn Fn(&[f64]) -> bool;

/// What is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scored {
    /// The original, with which all others are compared.
    Original,
    /// A model that is scored to its end, whatever becomes of it, by itself: the first trial, and what was saved.
    Whole,
    /// The same of the saved model that simulates quantization, which is to be run just as it is written.
    Simulation,
    /// A trial that may make use of what others have computed.
    Trial,
}

/// What surrounds a scorer's work.
pub struct Scoring<'a> {
    /// Is told how far it is.
    pub progress: &'a mut dyn Progress,
    /// Whether numbers miss the goals; absent if they are wanted whatever they are. A scorer that knows the best that
    /// its numbers can still become may stop if these miss.
    pub misses: Option<Misses<'a>>,
    /// What the model is.
    pub scored: Scored,
    /// The scores of the original and of the first trial, as soon as they are known.
    pub references: Option<[&'a Score; 2]>,
    /// Whether to go on at all.
    pub stop: &'a Stop,
}

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
