//! The reference of integer convolution.

use super::Bytes;
use crate::conv::ConvShape;
use crate::window::Window;

/// `output = Σ (input - zero) · weights`, one element at a time; zero points were subtracted from the
/// weights.
pub(super) fn conv(
    shape: &ConvShape,
    window: &Window,
    input: Bytes<'_>,
    zero: i32,
    weights: &[i32],
    output: &mut [i32],
) {
    let (in_channels, out_channels) = (shape.group_in_channels(), shape.group_out_channels());
    for (plane, output) in output.chunks_exact_mut(window.output_len()).enumerate() {
        let (image, channel) = (plane / shape.out_channels, plane % shape.out_channels);
        let first = image * shape.in_channels + channel / out_channels * in_channels;
        for (at, y) in window.outputs().zip(output) {
            *y = 0;
            for c in 0..in_channels {
                for (t, tap) in window.tap_positions().enumerate() {
                    if let Some(x) = window.input_index(at, tap) {
                        let x = input.at((first + c) * window.input_len() + x).wrapping_sub(zero);
                        let weight = weights[(channel * in_channels + c) * window.taps() + t];
                        *y = y.wrapping_add(x.wrapping_mul(weight));
                    }
                }
            }
        }
    }
}
