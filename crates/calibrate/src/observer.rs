//! Who is told how far calibration has come, and may end it.

use intact8_ir::Result;

/// A stage of calibration, in the order in which they run. A stage that the configuration does not ask for is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalibrationStage {
    /// The float model runs; ranges and samples are collected.
    Observation,
    /// Which layers gain by smoothing is decided, and these are observed again.
    Smoothing,
    /// Clipped ranges are compared by the error at the network's outputs.
    Clipping,
    /// The rounding of each element of a weight is chosen.
    Rounding,
    /// The mean error of each output channel is measured.
    BiasCorrection,
}

/// Is told how far calibration has come.
pub trait CalibrationObserver {
    /// A stage begins.
    fn stage(&mut self, stage: CalibrationStage) {
        let _ = stage;
    }

    /// In a pass over the data, `done` of `total` batches have been handed out.
    ///
    /// # Errors
    /// An error ends the calibration; one of the kind [`Cancelled`](intact8_ir::ErrorKind::Cancelled) is no failure.
    fn batch(&mut self, done: usize, total: usize) -> Result<()> {
        let _ = (done, total);
        Ok(())
    }
}

/// No observer.
impl CalibrationObserver for () {}
