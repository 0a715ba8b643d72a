//! The stages of a search as an observer sees them, and the reasons for an early end.

use intact8_calibrate::CalibrationStage;
use intact8_quant::layer::LayerSet;

/// The stage of a search that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage<'a> {
    /// The original model is scored.
    Original,
    /// A stage of calibration runs.
    Calibration(CalibrationStage),
    /// A trial is scored.
    Trial {
        /// Its index, from 0; the first trial has every layer quantized.
        index: usize,
        /// The layers that are left in float.
        rolled_back: &'a LayerSet,
        /// The number of layers in the search.
        n_layers: usize,
        /// The expected number of trials after this one, see [`trials_ahead`](crate::strategy::trials_ahead); `None` if the
        /// strategy is not a pure function.
        n_ahead: Option<usize>,
    },
    /// The layers are replayed one by one and ranked.
    Ranking,
    /// A saved model is scored after it was read back from its file.
    Saved {
        /// Its name, as in [`Rescored::name`](crate::Rescored::name).
        name: &'a str,
    },
}

/// The reason for an early end of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The time budget is used up.
    OutOfTime,
    /// The user has cancelled the search.
    Cancelled,
}
