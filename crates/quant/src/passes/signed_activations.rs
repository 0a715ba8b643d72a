//! Signed activations.

use super::unsigned_activations::change_sign;
use intact8_ir::{DType, Model, Pass, Result};

/// Quantizes activations to signed bytes: 128 is subtracted from zero point and integers, which represent the same
/// numbers. It undoes `unsigned-activations`, for targets without unsigned
/// bytes.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2]
/// %scale = const [0.5] : f32[]
/// %offset = const [125] : u8[]
/// %q = QuantizeLinear(%x, %scale, %offset) : u8[N,2]
/// %y = DequantizeLinear(%q, %scale, %offset)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2]
/// %scale = const [0.5] : f32[]
/// %offset.i8 = const [-3] : i8[]
/// %q = QuantizeLinear(%x, %scale, %offset.i8) : i8[N,2]
/// %y = DequantizeLinear(%q, %scale, %offset.i8)
/// return %y
/// ```
pub struct SignedActivations;

impl Pass for SignedActivations {
    fn name(&self) -> &'static str {
        "signed-activations"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        change_sign(model, DType::I8)
    }
}
