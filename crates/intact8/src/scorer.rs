//! Scorers of the command: metrics over a data set, computed by our interpreter or a runtime of others, or a command of the user's.
//!
//! Goals are judged elsewhere; a score knows nothing of them.

mod batch_size;
mod by_command;
mod by_data;
mod fingerprint;
mod known_scores;
mod process;
mod sample_order;
mod verified;
mod workers;

pub use by_command::CommandScorer;
pub use by_data::{DataScorer, OriginalModel};
pub use verified::VerifiedScorer;
pub use workers::WorkerFolder;

use crate::chance::Chance;
use crate::data::Noise;
use crate::peak_memory::peak_memory;
use intact8_search::Scorer;
use std::time::Instant;

/// A scorer whose scores are numbers, one for each goal.
pub type AnyScorer = Box<dyn Scorer<Score = Score>>;

/// The score of a model: a number for each goal, with its noise and the effort.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Score {
    /// The metrics, one for each goal.
    pub values: Vec<f64>,
    /// The number of samples that were scored, if the scoring stopped before the last. The values are then the best ones that
    /// the metrics could still reach, and they miss the goals.
    pub stopped_after: Option<usize>,
    /// Estimates of the metrics from the samples that were scored, one for each goal, if the scoring stopped early.
    pub estimates: Vec<f64>,
    /// The sampling noise of the metrics, one for each goal; empty if it is unknown.
    pub noise: Vec<Noise>,
    /// The values of the metrics at chance level, one for each goal; only for the original, and empty if they are unknown.
    pub chance: Vec<Chance>,
    /// For each metric the contribution of each sample, if all metrics are means over samples; only for the original and the
    /// first trial.
    pub contributions: Vec<Vec<f64>>,
    /// The metrics in a runtime of others, if the model was scored there too, or there alone; not stored in the journal.
    pub verified: Option<Verified>,
    /// The runtime in which alone the goals are missed: by the interpreter's metrics the model meets them.
    pub missed_in: Option<String>,
    /// The effort of the scoring.
    pub effort: Effort,
}

/// Metrics that a runtime of others has computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// The name of the runtime with its version.
    pub runtime: String,
    /// The metrics, one for each goal.
    pub values: Vec<f64>,
}

impl Score {
    /// A score of which only the values are known.
    pub fn of(values: Vec<f64>) -> Score {
        Score { values, ..Score::default() }
    }

    /// The same score with the time since `began` and the peak memory of the process.
    fn measured(mut self, began: Instant) -> Score {
        self.effort.seconds = began.elapsed().as_secs_f64();
        self.effort.peak_memory = peak_memory();
        self
    }

    /// The estimates if the scoring stopped early, else the values.
    pub fn estimates(&self) -> &[f64] {
        if self.estimates.is_empty() { &self.values } else { &self.estimates }
    }
}

/// The effort of scoring a model.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Effort {
    /// The number of samples that were run; `None` if the scorer does not know samples.
    pub samples: Option<usize>,
    /// The time in seconds.
    pub seconds: f64,
    /// The peak memory of the process up to the end of the scoring, in bytes; `None` if the system does not report it.
    pub peak_memory: Option<u64>,
}
