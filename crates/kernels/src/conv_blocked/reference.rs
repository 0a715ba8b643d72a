//! The reference of blocked convolution: one output at a time, in the order of [`conv`](crate::conv).

use super::{BLOCK, Layout, Output};
use crate::conv::ConvShape;
use crate::gemm;
use crate::window::Window;

/// `output = activation(bias + input * weights + residual)`; channels beyond the last are those of no weights.
pub(super) fn conv(
    shape: &ConvShape,
    window: &Window,
    layout: Layout,
    input: &[f32],
    weights: &[f32],
    bias: &[f32],
    output: Output<'_>,
) {
    let Output { data, residual, activation, .. } = output;
    let (in_channels, out_channels) = (shape.group_in_channels(), shape.group_out_channels());
    let (in_len, out_len) = (window.input_len(), window.output_len());
    let taps: Vec<[usize; 3]> = window.tap_positions().collect();
    for (plane, rows) in data.chunks_exact_mut(out_len * BLOCK).enumerate() {
        let (image, block) =
            (plane / shape.out_channels.div_ceil(BLOCK), plane % shape.out_channels.div_ceil(BLOCK));
        let image = &input[image * layout.padded(shape.in_channels) * in_len..];
        for (at, pixel) in window.outputs().zip(rows.as_chunks_mut::<BLOCK>().0) {
            for (lane, y) in pixel.iter_mut().enumerate() {
                let channel = block * BLOCK + lane;
                if channel >= shape.out_channels {
                    *y = 0.0;
                    continue;
                }
                let first = channel / out_channels * in_channels;
                *y = gemm::sum(in_channels * taps.len(), bias[channel], false, |p, sum| {
                    let (c, t) = (first + p / taps.len(), p % taps.len());
                    let Some(x) = window.input_index(at, taps[t]) else { return sum };
                    let weight = weights[(channel * in_channels + p / taps.len()) * taps.len() + t];
                    image[layout.index(c, x, in_len)].mul_add(weight, sum)
                });
            }
        }
    }
    if let Some(residual) = residual {
        data.iter_mut().zip(residual).for_each(|(y, residual)| *y += residual);
    }
    activation.clamp_and_apply(data);
}
