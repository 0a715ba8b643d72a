//! What a search is doing, and why it may end before its time.

use intact8_calibrate::CalibrationStage;
use intact8_quant::layer::LayerSet;

/// What a search does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage<'a> {
    /// The original model is scored.
    Original,
    /// A stage of calibration runs.
    Calibration(CalibrationStage),
    /// A trial is scored.
    Trial {
        /// Its number, from 0: the first has every layer quantized.
        index: usize,
        /// The layers that are left in float.
        rolled_back: &'a LayerSet,
        /// How many layers there are.
        n_layers: usize,
        /// How many trials are expected after this one; see [`trials_ahead`](crate::trials_ahead). `None` if the strategy
        /// can't look ahead.
        n_ahead: Option<usize>,
    },
    /// The layers are replayed one by one and ranked.
    Ranking,
    /// A model that was saved is read back from its file and scored.
    Saved {
        /// Which one, as [`Rescored`](crate::Rescored) names it.
        name: &'a str,
    },
}

/// Why a search is to end before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The time budget is used up.
    OutOfTime,
    /// The user wants an end.
    Cancelled,
}
