//! Integer convolutions: exact in every kernel.

use intact8_kernels::conv::ConvShape;
use intact8_kernels::conv_integer::{Bytes, ZeroPoints, conv_integer, kernels};
use proptest::prelude::*;

use crate::conv::shapes;
use crate::random::Random;
use crate::threads::on_threads;

proptest! {
    #[test]
    fn every_kernel_is_exact(shape in shapes(), signs in 0..4usize, per_channel: bool, seed: u64) {
        check(&shape, signs, per_channel, seed);
    }
}

#[test]
fn every_kernel_agrees_with_the_reference_on_typical_layers() {
    let layer = |in_channels, out_channels, groups, size, kernel, stride| ConvShape {
        batch: 2,
        in_channels,
        out_channels,
        groups,
        input: vec![size; 2],
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        dilations: vec![1; 2],
        pads_begin: vec![kernel / 2; 2],
        pads_end: vec![kernel / 2; 2],
    };
    for signs in 0..4 {
        check(&layer(3, 16, 1, 33, 7, 2), signs, true, 1);
        check(&layer(40, 70, 1, 20, 3, 1), signs, false, 2);
        check(&layer(36, 24, 1, 17, 1, 1), signs, true, 3);
        check(&layer(24, 24, 24, 30, 3, 1), signs, true, 4);
    }
}

#[test]
fn a_zero_point_outside_the_input_type_is_an_error() {
    let shape = ConvShape {
        batch: 1,
        in_channels: 1,
        out_channels: 1,
        groups: 1,
        input: vec![2],
        kernel: vec![1],
        strides: vec![1],
        dilations: vec![1],
        pads_begin: vec![0],
        pads_end: vec![0],
    };
    let mut output = [0; 2];
    let weights = Bytes::I8(&[3]);
    conv_integer(&shape, Bytes::U8(&[1, 2]), 200, weights, ZeroPoints::Scalar(1), &mut output).unwrap();
    assert_eq!(output, [-398, -396]);
    let refused = conv_integer(&shape, Bytes::I8(&[1, 2]), 200, weights, ZeroPoints::Scalar(1), &mut output);
    assert_eq!(refused.unwrap_err().to_string(), "zero point 200 is not in the range of the bytes");
}

fn check(shape: &ConvShape, signs: usize, per_channel: bool, seed: u64) {
    let mut random = Random::new(seed);
    let (input, weights) = (random.bytes(shape.input_len()), random.bytes(shape.weights_len()));
    let signed = |bytes: &[u8]| -> Vec<i8> { bytes.iter().map(|byte| *byte as i8).collect() };
    let (signed_input, signed_weights) = (signed(&input), signed(&weights));
    let (input, input_zero) = match signs & 1 {
        0 => (Bytes::U8(&input), random.below(256) as i32),
        _ => (Bytes::I8(&signed_input), random.below(256) as i32 - 128),
    };
    let weights = if signs & 2 == 0 { Bytes::U8(&weights) } else { Bytes::I8(&signed_weights) };
    let zeros: Vec<i32> = (0..shape.out_channels).map(|_| random.below(256) as i32 - 128).collect();
    let zeros = if per_channel { ZeroPoints::Each(&zeros) } else { ZeroPoints::Scalar(0) };
    let mut results = kernels().iter().filter(|kernel| kernel.supports(shape)).map(|kernel| {
        let mut output = vec![-1; shape.output_len().unwrap()];
        let prepared = kernel.prepare(shape, weights, zeros).unwrap();
        for threads in [1, 2] {
            on_threads(threads, || prepared.run(shape, input, input_zero, &mut output)).unwrap();
        }
        (kernel, output)
    });
    let (_, expected) = results.next_back().unwrap();
    for (kernel, output) in results {
        assert_eq!(output, expected, "{} on {shape:?}", kernel.name);
    }
}
