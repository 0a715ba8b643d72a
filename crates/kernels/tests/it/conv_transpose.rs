//! fp32 transposed convolutions: every kernel agrees with the reference.

use intact8_kernels::conv_transpose::{ConvTransposeShape, conv_transpose, kernels};
use proptest::prelude::*;

use crate::conv::shapes;
use crate::random::{Random, assert_same};

proptest! {
    #[test]
    fn every_kernel_agrees_with_the_reference(forward in shapes(), extra in 0..4usize, bias: bool, seed: u64) {
        // The transpose of any forward convolution, its output a little longer or shorter.
        let shape = ConvTransposeShape {
            batch: forward.batch,
            in_channels: forward.out_channels,
            out_channels: forward.in_channels,
            groups: forward.groups,
            input: forward.output().unwrap(),
            output: forward.input.iter().map(|size| (size + extra).saturating_sub(2)).collect(),
            kernel: forward.kernel.clone(),
            strides: forward.strides.clone(),
            dilations: forward.dilations.clone(),
            pads_begin: forward.pads_begin.clone(),
        };
        check(&shape, bias, seed);
    }
}

#[test]
fn one_pixel_contributes_to_all_taps() {
    let shape = square(1, 1, 1, [1, 2], 2, 2);
    let mut output = [0.0; 4];
    conv_transpose(&shape, &[3.0], &[1.0, 2.0, 3.0, 4.0], Some(&[0.5]), &mut output).unwrap();
    assert_eq!(output, [3.5, 6.5, 9.5, 12.5]);
}

#[test]
fn every_kernel_agrees_with_the_reference_on_typical_layers() {
    check(&square(2, 16, 20, [9, 18], 4, 2), true, 1);
    check(&square(1, 70, 64, [7, 14], 2, 2), true, 2);
    check(&square(1, 8, 3, [30, 60], 4, 2), false, 3);
}

#[test]
fn invalid_sizes_are_errors() {
    let shape = ConvTransposeShape { groups: 3, ..square(1, 4, 6, [2, 4], 2, 2) };
    let refused = conv_transpose(&shape, &[], &[], None, &mut []).unwrap_err();
    assert_eq!(refused.to_string(), "3 groups do not divide 4 into 6 channels");
    let shape = ConvTransposeShape { strides: vec![usize::MAX; 2], ..square(1, 1, 1, [3, 4], 2, 2) };
    let refused = conv_transpose(&shape, &[0.0; 9], &[0.0; 4], None, &mut [0.0; 16]).unwrap_err();
    assert_eq!(refused.to_string(), "the window reaches beyond the address space");
}

fn square(
    batch: usize,
    in_channels: usize,
    out_channels: usize,
    [input, output]: [usize; 2],
    kernel: usize,
    stride: usize,
) -> ConvTransposeShape {
    ConvTransposeShape {
        batch,
        in_channels,
        out_channels,
        groups: 1,
        input: vec![input; 2],
        output: vec![output; 2],
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        dilations: vec![1; 2],
        pads_begin: vec![(kernel - stride) / 2; 2],
    }
}

fn check(shape: &ConvTransposeShape, with_bias: bool, seed: u64) {
    let mut random = Random::new(seed);
    let inputs: usize = shape.input.iter().product();
    let outputs: usize = shape.output.iter().product();
    let input = random.floats(shape.batch * shape.in_channels * inputs);
    let (weights, bias) = (random.floats(shape.weights_len()), random.floats(shape.out_channels));
    let bias = with_bias.then_some(&bias[..]);
    let mut results = kernels().iter().map(|kernel| {
        let mut output = vec![f32::NAN; shape.batch * shape.out_channels * outputs];
        kernel.prepare(shape, &weights).unwrap().run(shape, &input, bias, &mut output).unwrap();
        (kernel, output)
    });
    let (_, expected) = results.next_back().unwrap();
    for (kernel, output) in results {
        let magnitude = 2.0 * shape.weights_len() as f32 + 1.0;
        assert_same(&output, &expected, kernel.fused, magnitude, &format!("{} on {shape:?}", kernel.name));
    }
}
