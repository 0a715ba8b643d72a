//! Convolutions of blocked tensors: every kernel computes the bits of the plain convolution followed by its epilogue.

use intact8_kernels::blocked::{BLOCK, Layout, PlaneSizes, blocked_len, from_blocked, to_blocked};
use intact8_kernels::conv::{self, ConvShape};
use intact8_kernels::conv_blocked::{Epilogue, kernels, prepare, supports};
use intact8_kernels::elementwise::{Unary, unary_in_place};
use proptest::prelude::*;

use crate::conv::shapes;
use crate::random::{Random, assert_same};
use crate::threads::on_threads;

/// Any small convolution that has a blocked kernel.
fn blocked_shapes() -> impl Strategy<Value = ConvShape> {
    // Blocks of a group, or channels of an only group, or single channels.
    let channels = prop_oneof![
        2 => (Just(1usize), 1..40usize, 1..70usize),
        1 => (2..4usize, Just(16usize), prop_oneof![Just(16usize), Just(48usize)]),
        2 => (2..40usize, Just(1usize), Just(1usize)),
    ];
    (shapes(), channels).prop_map(|(shape, (groups, inputs, outputs))| ConvShape {
        groups,
        in_channels: groups * inputs,
        out_channels: groups * outputs,
        ..shape
    })
}

fn activations() -> impl Strategy<Value = Option<Unary>> {
    prop::sample::select(vec![
        None,
        Some(Unary::Relu),
        Some(Unary::Clip { min: -0.5, max: 1.5 }),
        Some(Unary::LeakyRelu { slope: 0.1 }),
        Some(Unary::HardSwish),
        Some(Unary::HardSigmoid { slope: 0.2, offset: 0.5 }),
        Some(Unary::Silu),
        Some(Unary::Gelu),
    ])
}

proptest! {
    #[test]
    fn every_kernel_computes_the_bits_of_the_plain_convolution(
        shape in blocked_shapes(),
        activation in activations(),
        bias: bool,
        residual: bool,
        plain: bool,
        seed: u64,
    ) {
        let layout = if plain && shape.groups == 1 { Layout::Plain } else { Layout::Blocked };
        check(&shape, layout, activation, [bias, residual], seed);
    }
}

fn check(
    shape: &ConvShape,
    layout: Layout,
    activation: Option<Unary>,
    [bias, residual]: [bool; 2],
    seed: u64,
) {
    let mut random = Random::new(seed);
    let (input, weights) = (random.floats(shape.input_len()), random.floats(shape.weights_len()));
    let biases = random.floats(shape.out_channels);
    let bias = bias.then_some(&biases[..]);
    let sizes = |channels: usize, spatial: &[usize]| PlaneSizes {
        batch: shape.batch,
        channels,
        positions: spatial.iter().product(),
    };
    let inner = sizes(shape.in_channels, &shape.input);
    let outer = sizes(shape.out_channels, &shape.output().unwrap());
    let summands = random.floats(shape.output_len().unwrap());
    let blocked = |sizes: PlaneSizes, plain: &[f32]| {
        let mut blocked = vec![f32::NAN; blocked_len(sizes.batch, sizes.channels, sizes.positions)];
        to_blocked(sizes, plain, &mut blocked);
        blocked
    };
    let blocked_summands = blocked(outer, &summands);
    let mut blocked_input = blocked(inner, &input);
    // No real channel may depend on the channels that fill up the last block.
    let rest = inner.channels % BLOCK;
    if rest > 0 {
        let blocks = inner.channels.div_ceil(BLOCK);
        for (plane, values) in blocked_input.chunks_mut(inner.positions * BLOCK).enumerate() {
            if plane % blocks + 1 == blocks {
                values.chunks_mut(BLOCK).for_each(|pixel| pixel[rest..].fill(f32::NAN));
            }
        }
    }

    let mut expected = vec![0.0; summands.len()];
    let reference = conv::kernels().last().unwrap().prepare(shape, &weights).unwrap();
    reference.run(shape, &input, bias, &mut expected).unwrap();
    if residual {
        expected.iter_mut().zip(&summands).for_each(|(y, summand)| *y += summand);
    }
    if let Some(activation) = activation {
        unary_in_place(activation, &mut expected);
    }

    assert!(supports(shape, layout));
    for kernel in kernels().iter().filter(|kernel| kernel.supports(shape, layout)) {
        let prepared = kernel.prepare(shape, layout, &weights, bias).unwrap();
        let input = if layout == Layout::Plain { &input } else { &blocked_input };
        let epilogue = Epilogue { residual: residual.then_some(&blocked_summands), activation };
        for threads in [1, 2] {
            let mut output = vec![f32::NAN; blocked_summands.len()];
            on_threads(threads, || prepared.run(shape, input, epilogue, &mut output)).unwrap();
            let mut found = vec![f32::NAN; expected.len()];
            from_blocked(outer, &output, &mut found);
            let magnitude = 4.0 * (shape.weights_len() / shape.out_channels + 2) as f32;
            let what = format!("{} on {threads} threads, {layout:?} {activation:?} {shape:?}", kernel.name);
            assert_same(&found, &expected, kernel.fused, magnitude, &what);
        }
    }
}

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
fn every_kernel_computes_the_bits_of_typical_layers() {
    for shape in [
        square([64, 72, 1], 28, 3, 1, 1),
        square([40, 24, 1], 28, 1, 1, 0),
        square([160, 130, 1], 1, 1, 1, 0),
        square([96, 100, 1], 2, 1, 1, 0),
        square([48, 40, 1], 15, 1, 2, 0),
        square([40, 40, 40], 34, 3, 1, 1),
        square([20, 20, 20], 35, 5, 2, 2),
        square([64, 32, 2], 14, 3, 1, 1),
        square([150, 33, 1], 7, 3, 1, 1),
        ConvShape { dilations: vec![12; 2], ..square([20, 30, 1], 17, 3, 1, 12) },
        ConvShape { batch: 1, ..square([8, 8, 1], 70, 3, 1, 1) },
        ConvShape { batch: 3, ..square([16, 20, 1], 240, 3, 3, 0) },
    ] {
        check(&shape, Layout::Blocked, Some(Unary::Relu), [true, true], 5);
    }
    check(&square([3, 64, 1], 51, 7, 2, 3), Layout::Plain, Some(Unary::Relu), [true, false], 6);
    let signal = ConvShape {
        input: vec![3000],
        kernel: vec![9],
        strides: vec![2],
        dilations: vec![3],
        pads_begin: vec![5],
        pads_end: vec![40],
        ..square([20, 40, 1], 1, 1, 1, 0)
    };
    check(&signal, Layout::Blocked, None, [true, true], 7);
    check(&signal, Layout::Plain, None, [false, true], 8);
}

#[test]
fn other_spatial_sizes_than_prepared_are_computed() {
    let (small, large) = (square([20, 40, 1], 4, 3, 1, 1), square([20, 40, 1], 19, 3, 1, 1));
    let weights = Random::new(3).floats(small.weights_len());
    let input = Random::new(4).floats(2 * 32 * 19 * 19);
    for kernel in kernels() {
        let run = |prepared: &ConvShape| {
            let prepared = kernel.prepare(prepared, Layout::Blocked, &weights, None).unwrap();
            let mut output = vec![f32::NAN; 2 * 48 * 19 * 19];
            prepared.run(&large, &input, Epilogue::default(), &mut output).unwrap();
            output
        };
        assert!(run(&small) == run(&large), "{}", kernel.name);
    }
}

#[test]
fn channels_beyond_the_last_are_those_of_no_weights() {
    let shape = square([3, 5, 1], 6, 3, 1, 1);
    let weights = vec![1.0; shape.weights_len()];
    for kernel in kernels() {
        let prepared = kernel.prepare(&shape, Layout::Plain, &weights, Some(&[1.0; 5])).unwrap();
        let mut output = vec![f32::NAN; 2 * 16 * 36];
        let activation = Some(Unary::Clip { min: 0.25, max: 6.0 });
        prepared
            .run(&shape, &vec![1.0; 2 * 3 * 36], Epilogue { residual: None, activation }, &mut output)
            .unwrap();
        assert!(output.chunks(BLOCK).all(|pixel| pixel[5..].iter().all(|y| *y == 0.25)), "{}", kernel.name);
    }
}

#[test]
fn unsupported_and_mismatched_sizes_are_errors() {
    let grouped = square([32, 32, 4], 8, 3, 1, 1);
    assert!(!supports(&grouped, Layout::Blocked));
    let refused = prepare(&grouped, Layout::Blocked, &vec![0.0; grouped.weights_len()], None).unwrap_err();
    assert_eq!(refused.to_string(), "kernel reference does not support this convolution");
    assert!(!supports(&square([32, 32, 32], 8, 3, 1, 1), Layout::Plain));

    let shape = square([20, 5, 1], 6, 3, 1, 1);
    let weights = vec![0.0; shape.weights_len()];
    let prepared = prepare(&shape, Layout::Blocked, &weights, None).unwrap();
    let (input, mut output) = (vec![0.0; 2 * 32 * 36], vec![0.0; 2 * 16 * 36]);
    let epilogue = Epilogue { residual: Some(&[0.0; 3]), activation: None };
    let refused = prepared.run(&shape, &input, epilogue, &mut output).unwrap_err();
    assert_eq!(refused.to_string(), "the residual has 3 elements, but its shape requires 1152");
    let refused = prepared.run(&shape, &input[1..], Epilogue::default(), &mut output).unwrap_err();
    assert_eq!(refused.to_string(), "the input has 2303 elements, but its shape requires 2304");
    let other = square([20, 6, 1], 6, 3, 1, 1);
    assert!(prepared.run(&other, &input, Epilogue::default(), &mut output).is_err());
    assert!(prepare(&shape, Layout::Blocked, &weights[1..], None).is_err());
    assert!(prepare(&shape, Layout::Blocked, &weights, Some(&[0.0; 4])).is_err());
}

/// Far windows whose padded copy would be too large are left to the reference.
#[test]
fn far_windows_and_empty_inputs_are_computed() {
    let far = ConvShape {
        batch: 1,
        strides: vec![1 << 40; 2],
        pads_begin: vec![0; 2],
        pads_end: vec![1 << 40; 2],
        ..square([2, 3, 1], 4, 1, 1, 0)
    };
    check(&far, Layout::Plain, None, [true, false], 1);
    check(&far, Layout::Blocked, None, [true, false], 1);
    let weights = vec![2.0; 17];
    let all_padding = ConvShape { batch: 1, input: vec![0, 3], ..square([1, 17, 1], 4, 1, 1, 1) };
    let empty = ConvShape { batch: 0, ..square([1, 17, 1], 4, 1, 1, 0) };
    for kernel in kernels() {
        let prepared = kernel.prepare(&all_padding, Layout::Plain, &weights, Some(&[3.0; 17])).unwrap();
        let mut output = vec![f32::NAN; 32 * 2 * 5];
        prepared.run(&all_padding, &[], Epilogue::default(), &mut output).unwrap();
        assert!(output[..160].iter().all(|y| *y == 3.0), "{}", kernel.name);
        prepared.run(&empty, &[], Epilogue::default(), &mut []).unwrap();
    }
}
