//! What a convolution is, in the order that every kernel keeps.

use super::ConvShape;
use crate::window::Window;

/// `output = bias + input * weights`, one element at a time.
pub(super) fn conv(
    shape: &ConvShape,
    window: &Window,
    input: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    let (in_channels, out_channels) = (shape.group_in_channels(), shape.group_out_channels());
    for (plane, output) in output.chunks_exact_mut(window.output_len()).enumerate() {
        let (image, channel) = (plane / shape.out_channels, plane % shape.out_channels);
        let first = image * shape.in_channels + channel / out_channels * in_channels;
        for (at, y) in window.outputs().zip(output) {
            let mut sum = bias.map_or(0.0, |bias| bias[channel]);
            for c in 0..in_channels {
                for (t, tap) in window.tap_positions().enumerate() {
                    if let Some(x) = window.input_index(at, tap) {
                        let weight = weights[(channel * in_channels + c) * window.taps() + t];
                        sum = input[(first + c) * window.input_len() + x].mul_add(weight, sum);
                    }
                }
            }
            *y = sum;
        }
    }
}
