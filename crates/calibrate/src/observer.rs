//! The observer of a calibration: it receives progress and may end it.

use intact8_ir::Result;

/// The stages of calibration, in the order in which they run. Stages that the configuration turns off may be skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalibrationStage {
    /// The float model runs; ranges and samples are collected.
    Observation,
    /// The layers that benefit from smoothing are selected and observed again.
    Smoothing,
    /// Clipped ranges are selected by the error at the network's outputs.
    Clipping,
    /// The rounding of each element of a weight is chosen.
    Rounding,
    /// The mean error of each output channel is measured, for bias correction.
    BiasCorrection,
}

/// Receives the progress of a calibration, and may end it. All methods have defaults that do nothing.
pub trait CalibrationObserver {
    /// A stage begins.
    fn stage(&mut self, stage: CalibrationStage) {
        let _ = stage;
    }

    /// A layer is left out of the current stage, for a reason such as the [memory limit](crate::MemoryLimit).
    fn left_out(&mut self, layer: &str, why: &str) {
        let _ = (layer, why);
    }

    /// In a pass over the data, `done` of `total` batches have been read.
    ///
    /// # Errors
    /// An error ends the calibration; one of the kind [`Cancelled`](intact8_ir::ErrorKind::Cancelled) means that the user has
    /// cancelled it.
    fn batch(&mut self, done: usize, total: usize) -> Result<()> {
        let _ = (done, total);
        Ok(())
    }
}

/// No observer.
impl CalibrationObserver for () {}
