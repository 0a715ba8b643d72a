//! The adapter that applies a sensitivity to the outputs of the network instead of those of a layer.

use super::{ChannelLayout, Scope, Sensitivity, Similarity};
use intact8_calibrate::BoxError;

/// A sensitivity `S` of the network's outputs with one layer quantized. It includes the effect of later layers on the error,
/// and needs one pass over the calibration data for each layer.
#[derive(Debug, Clone, Copy, Default)]
pub struct NetworkOutput<S>(pub S);

impl<S: Sensitivity> Sensitivity for NetworkOutput<S> {
    fn similarity(&self, original: &[f32], quantized: &[f32]) -> Result<f64, BoxError> {
        self.0.similarity(original, quantized)
    }

    fn compare(
        &self,
        original: &[f32],
        quantized: &[f32],
        layout: ChannelLayout,
    ) -> Result<Similarity, BoxError> {
        self.0.compare(original, quantized, layout)
    }

    fn error(&self, similarity: f64) -> f64 {
        self.0.error(similarity)
    }

    fn scope(&self) -> Scope {
        Scope::Network
    }
}
