//! Depthwise convolution: each output channel uses one input channel and is a weighted sum over shifts of its sheet.

use super::ConvShape;
use crate::isa::{Isa, multiply_add};
use crate::sliding::{Combine, Plane, slide};
use crate::window::Window;

/// `output = bias + input * weights`, with as many groups as input channels.
pub(super) fn conv(
    isa: Isa,
    shape: &ConvShape,
    window: Window,
    input: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    let multiplier = shape.group_out_channels();
    let planes = output.chunks_exact_mut(window.output_len()).enumerate().map(|(i, output)| {
        let channel = i % shape.out_channels;
        Plane {
            input: &input[i / multiplier * window.input_len()..][..window.input_len()],
            weights: &weights[channel * window.taps()..][..window.taps()],
            start: bias.map_or(0.0, |bias| bias[channel]),
            output,
        }
    });
    slide(isa, window, WeightedSum, 0.0, planes.collect());
}

/// A sum of products.
#[derive(Clone, Copy)]
struct WeightedSum;

impl Combine for WeightedSum {
    type Value = f32;
    type Sum = f32;

    #[inline(always)]
    fn combine(self, fused: bool, sum: f32, value: f32, weight: f32) -> f32 {
        multiply_add(fused, value, weight, sum)
    }
}
