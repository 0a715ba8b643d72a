//! The reference of transposed convolution: it defines the order of additions for every kernel.

use super::ConvTransposeShape;
use crate::gemm;
use crate::window::{Window, positions};

/// The output, one element at a time; `window` is that of the forward convolution.
pub(super) fn conv_transpose(
    shape: &ConvTransposeShape,
    window: &Window,
    input: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    let (in_channels, out_channels) = (shape.group_in_channels(), shape.group_out_channels());
    for (plane, output) in output.chunks_exact_mut(window.input_len()).enumerate() {
        let (image, channel) = (plane / shape.out_channels, plane % shape.out_channels);
        let group = channel / out_channels;
        for (at, y) in positions(window.input).zip(output) {
            let mut sum = bias.map_or(0.0, |bias| bias[channel]);
            for (t, tap) in window.tap_positions().enumerate() {
                let Some(x) = source(window, at, tap) else { continue };
                sum += gemm::sum(in_channels, 0.0, false, |c, sum| {
                    let c = group * in_channels + c;
                    let weight = weights[(c * out_channels + channel % out_channels) * window.taps() + t];
                    weight.mul_add(input[(image * shape.in_channels + c) * window.output_len() + x], sum)
                });
            }
            *y = sum;
        }
    }
}

/// The input position whose tap contributes to an output position.
fn source(window: &Window, at: [usize; 3], tap: [usize; 3]) -> Option<usize> {
    let mut index = 0;
    for axis in 0..3 {
        let steps = (at[axis] + window.pads_begin[axis]).checked_sub(tap[axis] * window.dilations[axis])?;
        if !steps.is_multiple_of(window.strides[axis]) || steps / window.strides[axis] >= window.output[axis]
        {
            return None;
        }
        index = index * window.output[axis] + steps / window.strides[axis];
    }
    Some(index)
}
