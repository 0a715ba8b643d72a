//! The position of an output element in the input.

use super::geometry::Axis;

/// `coordinate_transformation_mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfHalfPixelForNearest,
    TfCropAndResize,
}

/// `nearest_mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
    /// Before opset 11: ceil for downscaling, otherwise floor.
    OutwardIfSmaller,
}

impl Coordinates {
    /// The position in the input, in f32 as in ONNX Runtime, since ties depend on the precision.
    pub(super) fn original(self, resized: usize, axis: &Axis) -> f32 {
        let (x, scale) = (resized as f32, axis.scale);
        let (input, output, resized) = (axis.input as f32, axis.output as f32, axis.resized);
        match self {
            Coordinates::HalfPixel => (x + 0.5) / scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = output / (scale * input);
                input / 2.0 * (1.0 - adjustment) + (x + 0.5) / scale - 0.5
            }
            Coordinates::PytorchHalfPixel if axis.output <= 1 => 0.0,
            Coordinates::PytorchHalfPixel => (x + 0.5) / scale - 0.5,
            Coordinates::AlignCorners if axis.output <= 1 => 0.0,
            Coordinates::AlignCorners => x * (input - 1.0) / (resized - 1.0),
            Coordinates::Asymmetric => x / scale,
            Coordinates::TfHalfPixelForNearest => (x + 0.5) / scale,
            Coordinates::TfCropAndResize => {
                let (start, end) = axis.roi;
                if axis.output > 1 {
                    start * (input - 1.0) + x * (end - start) * (input - 1.0) / (resized - 1.0)
                } else {
                    0.5 * (start + end) * (input - 1.0)
                }
            }
        }
    }

    /// Whether the extrapolation value is used for the position.
    pub(super) fn is_outside(self, original: f32, axis: &Axis) -> bool {
        let last = axis.input as f32 - 1.0;
        self == Coordinates::TfCropAndResize && !(0.0..=last).contains(&original)
    }
}

impl Rounding {
    /// The input element for a position.
    pub(super) fn round(self, original: f32, axis: &Axis) -> usize {
        let floor = original.floor();
        let fraction = original - floor;
        let is_up = match self {
            Rounding::PreferFloor => fraction > 0.5,
            Rounding::PreferCeil => fraction >= 0.5,
            Rounding::Ceil => fraction > 0.0,
            Rounding::OutwardIfSmaller => axis.scale < 1.0 && fraction > 0.0,
            Rounding::Floor => false,
        };
        let last = axis.input.saturating_sub(1);
        ((if is_up { floor + 1.0 } else { floor }) as usize).min(last)
    }
}
