//! fp32 convolutions: every kernel that supports a shape agrees with the reference.

use intact8_kernels::conv::{ConvShape, conv, kernels};
use proptest::prelude::*;

use crate::random::{Random, assert_same};
use crate::threads::on_threads;

/// Any small valid convolution.
pub(crate) fn shapes() -> impl Strategy<Value = ConvShape> {
    // Input, kernel, stride, dilation, pads before and after.
    let axis = [1..24usize, 1..6, 1..4, 1..4, 0..4, 0..4];
    let channels = prop_oneof![
        3 => (1..4usize, 1..12usize, 1..20usize),
        2 => (1..12usize, Just(1usize), 1..3usize),
    ];
    (1..3usize, channels, prop::collection::vec(axis, 1..=3)).prop_map(
        |(batch, (groups, inputs, outputs), axes)| {
            let of = |i: usize| axes.iter().map(|axis| axis[i]).collect();
            let mut shape = ConvShape {
                batch,
                in_channels: groups * inputs,
                out_channels: groups * outputs,
                groups,
                input: of(0),
                kernel: of(1),
                strides: of(2),
                dilations: of(3),
                pads_begin: of(4),
                pads_end: of(5),
            };
            for axis in 0..axes.len() {
                let reach = (shape.kernel[axis] - 1) * shape.dilations[axis] + 1;
                let padded = shape.input[axis] + shape.pads_begin[axis] + shape.pads_end[axis];
                shape.input[axis] += reach.saturating_sub(padded);
            }
            shape
        },
    )
}

/// A two-dimensional shape with equal sizes in both dimensions.
fn square(channels: [usize; 3], size: usize, kernel: usize, stride: usize, pad: usize) -> ConvShape {
    let [in_channels, out_channels, groups] = channels;
    ConvShape {
        batch: 2,
        in_channels,
        out_channels,
        groups,
        input: vec![size; 2],
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        dilations: vec![1; 2],
        pads_begin: vec![pad; 2],
        pads_end: vec![pad; 2],
    }
}

#[test]
fn one_window_is_the_weighted_sum_of_its_input() {
    let shape = ConvShape { batch: 1, ..square([1, 1, 1], 2, 2, 1, 0) };
    let mut output = [0.0];
    conv(&shape, &[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0], Some(&[0.5]), &mut output).unwrap();
    assert_eq!(output, [70.5]);
}

proptest! {
    #[test]
    fn every_kernel_agrees_with_the_reference(shape in shapes(), bias: bool, seed: u64) {
        check(&shape, bias, seed);
    }
}

#[test]
fn every_kernel_agrees_with_the_reference_on_typical_layers() {
    for shape in [
        square([3, 16, 1], 33, 7, 2, 3),
        square([16, 20, 1], 28, 3, 1, 1),
        square([40, 24, 1], 28, 1, 1, 0),
        square([16, 48, 1], 15, 1, 2, 0),
        square([24, 24, 24], 34, 3, 1, 1),
        square([10, 20, 10], 35, 5, 2, 2),
        square([32, 32, 8], 14, 3, 1, 1),
        square([300, 16, 1], 7, 3, 1, 1),
        ConvShape { dilations: vec![12; 2], ..square([4, 30, 1], 17, 3, 1, 12) },
        ConvShape { batch: 1, ..square([8, 8, 1], 70, 3, 1, 1) },
    ] {
        check(&shape, true, 5);
    }
    let signal = ConvShape {
        input: vec![3000],
        kernel: vec![9],
        strides: vec![2],
        dilations: vec![3],
        pads_begin: vec![5],
        pads_end: vec![40],
        ..square([4, 6, 2], 1, 1, 1, 0)
    };
    check(&signal, true, 6);
}

fn check(shape: &ConvShape, with_bias: bool, seed: u64) {
    let mut random = Random::new(seed);
    let (input, weights) = (random.floats(shape.input_len()), random.floats(shape.weights_len()));
    let bias = random.floats(shape.out_channels);
    let bias = with_bias.then_some(&bias[..]);
    let mut results = kernels().iter().filter(|kernel| kernel.supports(shape)).map(|kernel| {
        let prepared = kernel.prepare(shape, &weights).unwrap();
        let mut output = vec![f32::NAN; shape.output_len().unwrap()];
        for threads in [1, 2] {
            on_threads(threads, || prepared.run(shape, &input, bias, &mut output)).unwrap();
        }
        (kernel, output)
    });
    let (_, expected) = results.next_back().unwrap();
    for (kernel, output) in results {
        let magnitude = 2.0 * shape.weights_len() as f32;
        assert_same(&output, &expected, kernel.fused, magnitude, &format!("{} on {shape:?}", kernel.name));
    }
}

#[test]
fn invalid_sizes_are_errors() {
    let good = square([4, 6, 2], 5, 3, 1, 0);
    let message = |shape: ConvShape| shape.output().unwrap_err().to_string();
    for (shape, expected) in [
        (ConvShape { groups: 3, ..good.clone() }, "3 groups do not divide 4 into 6 channels"),
        (ConvShape { groups: 0, ..good.clone() }, "0 groups do not divide 4 into 6 channels"),
        (ConvShape { kernel: vec![3], ..good.clone() }, "the kernel has 1 entries for 2 spatial dimensions"),
        (ConvShape { kernel: vec![3, 0], ..good.clone() }, "kernel sizes must be positive"),
        (ConvShape { strides: vec![0, 1], ..good.clone() }, "strides must be positive"),
        (ConvShape { dilations: vec![1, 0], ..good.clone() }, "dilations must be positive"),
        (ConvShape { input: vec![], ..good.clone() }, "0 spatial dimensions are not supported, only 1 to 3"),
        (
            ConvShape { dilations: vec![1, 3], ..good.clone() },
            "a window that reaches over 7 does not fit into 5 padded positions",
        ),
        (
            ConvShape { pads_end: vec![usize::MAX, 0], ..good.clone() },
            "a window that reaches over 3 does not fit into 18446744073709551615 padded positions",
        ),
    ] {
        assert_eq!(message(shape), expected);
    }
    let (input, weights) = (vec![0.0; good.input_len()], vec![0.0; good.weights_len()]);
    let mut output = vec![0.0; good.output_len().unwrap()];
    let short = conv(&good, &input[1..], &weights, None, &mut output).unwrap_err();
    assert_eq!(short.to_string(), "the input has 199 elements, but its shape requires 200");
    let other = kernels()[0].prepare(&square([3, 3, 3], 9, 3, 1, 0), &[0.0; 27]).unwrap();
    assert!(other.run(&good, &input, None, &mut output).is_err());
}

#[test]
fn an_empty_batch_has_an_empty_output() {
    let mut shape = square([2, 3, 1], 4, 3, 1, 0);
    shape.batch = 0;
    conv(&shape, &[], &[0.0; 54], None, &mut []).unwrap();
    let all_padding = ConvShape { batch: 1, input: vec![0, 3], ..square([1, 1, 1], 4, 1, 1, 1) };
    let mut output = vec![0.0; all_padding.output_len().unwrap()];
    conv(&all_padding, &[], &[2.0], Some(&[3.0]), &mut output).unwrap();
    assert!(output.iter().all(|y| *y == 3.0));
}
