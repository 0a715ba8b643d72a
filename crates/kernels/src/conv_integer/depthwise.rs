//! Depthwise integer convolution: each output channel uses one input channel and is a weighted sum over shifts of its
//! sheet.

use super::Bytes;
use crate::conv::ConvShape;
use crate::isa::Isa;
use crate::sliding::{Combine, Plane, slide};
use crate::window::Window;

/// `output = Σ (input - zero) · weights`, with as many groups as input channels.
pub(super) fn conv(
    isa: Isa,
    shape: &ConvShape,
    window: Window,
    input: Bytes<'_>,
    zero: i32,
    weights: &[i32],
    output: &mut [i32],
) {
    match input {
        Bytes::U8(input) => {
            let planes = planes(shape, &window, input, weights, output);
            slide(isa, window, UnsignedSum { zero }, zero as u8, planes);
        }
        Bytes::I8(input) => {
            let planes = planes(shape, &window, input, weights, output);
            slide(isa, window, SignedSum { zero }, zero as i8, planes);
        }
    }
}

fn planes<'a, C: Combine<Sum = i32>>(
    shape: &ConvShape,
    window: &Window,
    input: &'a [C::Value],
    weights: &'a [i32],
    output: &'a mut [i32],
) -> Vec<Plane<'a, C>> {
    let planes = output.chunks_exact_mut(window.output_len()).enumerate().map(|(i, output)| Plane {
        input: &input[i / shape.group_out_channels() * window.input_len()..][..window.input_len()],
        weights: &weights[i % shape.out_channels * window.taps()..][..window.taps()],
        start: 0,
        output,
    });
    planes.collect()
}

/// A sum of products of unsigned bytes.
#[derive(Clone, Copy)]
struct UnsignedSum {
    zero: i32,
}

impl Combine for UnsignedSum {
    type Value = u8;
    type Sum = i32;

    #[inline(always)]
    fn combine(self, _fused: bool, sum: i32, value: u8, weight: i32) -> i32 {
        sum.wrapping_add((i32::from(value) - self.zero).wrapping_mul(weight))
    }
}

/// A sum of products of signed bytes.
#[derive(Clone, Copy)]
struct SignedSum {
    zero: i32,
}

impl Combine for SignedSum {
    type Value = i8;
    type Sum = i32;

    #[inline(always)]
    fn combine(self, _fused: bool, sum: i32, value: i8, weight: i32) -> i32 {
        sum.wrapping_add((i32::from(value) - self.zero).wrapping_mul(weight))
    }
}
