//! The reference of fp32 convolution: it defines the order of additions for every kernel.

use super::ConvShape;
use crate::gemm;
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
    let taps: Vec<[usize; 3]> = window.tap_positions().collect();
    for (plane, output) in output.chunks_exact_mut(window.output_len()).enumerate() {
        let (image, channel) = (plane / shape.out_channels, plane % shape.out_channels);
        let first = image * shape.in_channels + channel / out_channels * in_channels;
        for (at, y) in window.outputs().zip(output) {
            let start = bias.map_or(0.0, |bias| bias[channel]);
            *y = gemm::sum(in_channels * taps.len(), start, false, |p, sum| {
                let (c, t) = (p / taps.len(), p % taps.len());
                let Some(x) = window.input_index(at, taps[t]) else { return sum };
                let weight = weights[(channel * in_channels + c) * taps.len() + t];
                input[(first + c) * window.input_len() + x].mul_add(weight, sum)
            });
        }
    }
}
