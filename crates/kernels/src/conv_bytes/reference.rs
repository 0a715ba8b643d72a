//! The reference of the convolution of bytes.

use super::{Bytes, Epilogue, Output};
use crate::conv::ConvShape;
use crate::window::Window;

/// One result at a time, in channels-last order; zero points were subtracted from the weights.
pub(super) fn conv(
    shape: &ConvShape,
    window: &Window,
    weights: &[i16],
    input: Bytes<'_>,
    zero: i32,
    epilogue: Epilogue<'_>,
    output: &mut Output<'_>,
) {
    let (in_channels, out_channels) = (shape.group_in_channels(), shape.group_out_channels());
    for image in 0..shape.batch {
        for (position, at) in window.outputs().enumerate() {
            for channel in 0..shape.out_channels {
                let mut sum = epilogue.bias(channel);
                for (t, tap) in window.tap_positions().enumerate() {
                    let Some(x) = window.input_index(at, tap) else { continue };
                    let first = (image * window.input_len() + x) * shape.in_channels
                        + channel / out_channels * in_channels;
                    for c in 0..in_channels {
                        let weight = weights[(channel * in_channels + c) * window.taps() + t];
                        sum = sum.wrapping_add((input.at(first + c) - zero) * i32::from(weight));
                    }
                }
                let result = (image * window.output_len() + position) * shape.out_channels + channel;
                output.set(result, sum, epilogue.factor(channel));
            }
        }
    }
}
