//! A sensitivity of the network's output.

use super::{Channels, Scope, Sensitivity, Similarity};
use intact8_calibrate::BoxError;

/// Another sensitivity, of what the whole network gives with one layer quantized. Sees what later layers make of an
/// error, and costs a run over the calibration data for each layer.
#[derive(Debug, Clone, Copy, Default)]
pub struct OfOutput<S>(pub S);

impl<S: Sensitivity> Sensitivity for OfOutput<S> {
    fn similarity(&self, original: &[f32], quantized: &[f32]) -> Result<f64, BoxError> {
        self.0.similarity(original, quantized)
    }

    fn compare(
        &self,
        original: &[f32],
        quantized: &[f32],
        channels: Channels,
    ) -> Result<Similarity, BoxError> {
        self.0.compare(original, quantized, channels)
    }

    fn scope(&self) -> Scope {
        Scope::Network
    }
}
