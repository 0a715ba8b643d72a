//! Convolutions of bytes: every kernel computes the bits of the formula.

use intact8_kernels::conv::ConvShape;
use intact8_kernels::conv_bytes::{Bytes, Epilogue, Levels, Output, ZeroPoints, kernels, prepare};
use intact8_kernels::conv_integer::conv_integer;
use proptest::prelude::*;

use crate::conv::shapes;
use crate::random::Random;
use crate::threads::on_threads;

/// Layers with channels around the sizes of tiles.
fn layers() -> impl Strategy<Value = ConvShape> {
    let channels = prop_oneof![
        3 => (Just(1usize), 1..80usize, 1..80usize),
        1 => (2..9usize, 1..9usize, 1..20usize),
        3 => (1..150usize, Just(1usize), 1..3usize),
    ];
    let axis = (1..20usize, 1..6usize, 1..3usize, 1..3usize, 0..3usize, 0..3usize);
    (1..3usize, channels, axis.clone(), axis).prop_map(|(batch, (groups, inputs, outputs), rows, columns)| {
        let (of_rows, of_columns) = (fitted(rows), fitted(columns));
        ConvShape {
            batch,
            in_channels: groups * inputs,
            out_channels: groups * outputs,
            groups,
            input: vec![of_rows.0, of_columns.0],
            kernel: vec![of_rows.1, of_columns.1],
            strides: vec![of_rows.2, of_columns.2],
            dilations: vec![of_rows.3, of_columns.3],
            pads_begin: vec![of_rows.4, of_columns.4],
            pads_end: vec![of_rows.5, of_columns.5],
        }
    })
}

type Axis = (usize, usize, usize, usize, usize, usize);

/// An input that is at least as long as the window.
fn fitted((input, kernel, stride, dilation, before, after): Axis) -> Axis {
    let reach = (kernel - 1) * dilation + 1;
    (input.max(reach.saturating_sub(before + after)), kernel, stride, dilation, before, after)
}

proptest! {
    #[test]
    fn every_kernel_is_exact(shape in shapes(), options in 0..64usize, seed: u64) {
        check(&shape, options, seed);
    }

    #[test]
    fn every_kernel_is_exact_on_layers(shape in layers(), options in 0..64usize, seed: u64) {
        check(&shape, options, seed);
    }
}

fn square(batch: usize, channels: [usize; 3], size: usize, kernel: usize, stride: usize) -> ConvShape {
    let [in_channels, out_channels, groups] = channels;
    ConvShape {
        batch,
        in_channels,
        out_channels,
        groups,
        input: vec![size; 2],
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        dilations: vec![1; 2],
        pads_begin: vec![kernel / 2; 2],
        pads_end: vec![kernel / 2; 2],
    }
}

#[test]
fn every_kernel_is_exact_on_typical_layers() {
    let layers = [
        square(1, [3, 64, 1], 75, 7, 2),
        square(2, [40, 70, 1], 20, 3, 1),
        square(3, [64, 33, 1], 7, 3, 1),
        square(2, [36, 200, 1], 17, 1, 1),
        square(1, [320, 264, 1], 5, 1, 1),
        square(1, [24, 48, 1], 19, 1, 2),
        square(2, [144, 144, 144], 23, 3, 1),
        square(1, [150, 150, 150], 23, 3, 2),
        square(1, [65, 65, 65], 9, 5, 1),
        square(1, [64, 64, 16], 14, 3, 1),
        // One position; and windows that cover only padding.
        square(1, [130, 140, 1], 1, 3, 1),
        ConvShape { pads_begin: vec![9, 0], pads_end: vec![0, 9], ..square(1, [5, 6, 1], 3, 3, 1) },
        ConvShape {
            input: vec![400],
            kernel: vec![9],
            strides: vec![1],
            dilations: vec![1],
            pads_begin: vec![4],
            pads_end: vec![4],
            ..square(1, [12, 40, 1], 1, 1, 1)
        },
        ConvShape {
            input: vec![5, 9, 30],
            kernel: vec![3, 2, 3],
            strides: vec![2, 1, 1],
            dilations: vec![1, 2, 2],
            pads_begin: vec![1, 2, 0],
            pads_end: vec![1; 3],
            ..square(2, [10, 20, 2], 1, 1, 1)
        },
    ];
    for (i, shape) in layers.iter().enumerate() {
        for options in [0, 1, 2, 10, 20, 35, 63] {
            check(shape, options, i as u64 * 64 + options as u64);
        }
    }
}

/// Large enough to be computed by several threads, in both ways of dividing the output.
#[test]
fn large_layers_are_exact_on_several_threads() {
    for shape in [
        square(1, [64, 96, 1], 40, 3, 1),
        square(2, [257, 520, 1], 6, 3, 1),
        square(1, [1200, 4000, 1], 1, 1, 1),
    ] {
        for options in [1, 4] {
            check_fast(&shape, options);
        }
    }
}

#[test]
fn without_epilogue_the_floats_are_the_sums_of_the_integer_convolution() {
    let shape = square(1, [6, 4, 2], 5, 3, 1);
    let mut random = Random::new(1);
    let (x, w) = (random.bytes(shape.input_len()), random.bytes(shape.weights_len()));
    let mut sums = vec![0; shape.output_len().unwrap()];
    let planes: Vec<u8> = (0..6 * 25).map(|i| x[i % 25 * 6 + i / 25]).collect();
    conv_integer(&shape, Bytes::U8(&planes), 7, Bytes::U8(&w), ZeroPoints::Scalar(131), &mut sums).unwrap();
    let mut floats = vec![0.0; sums.len()];
    let prepared = prepare(&shape, Bytes::U8(&w), ZeroPoints::Scalar(131)).unwrap();
    let epilogue = Epilogue { bias: None, factors: &[1.0] };
    prepared.run(&shape, Bytes::U8(&x), 7, epilogue, Output::F32(&mut floats)).unwrap();
    let planes: Vec<i32> = (0..4 * 25).map(|i| floats[i % 25 * 4 + i / 25] as i32).collect();
    assert_eq!(planes, sums);
}

#[test]
fn operands_that_do_not_match_are_errors() {
    let shape = square(1, [2, 1, 1], 1, 1, 1);
    let error = |zeros: ZeroPoints<'_>, zero: i32, factors: &[f32], levels: Levels<i8>| {
        let mut output = [0];
        let prepared = prepare(&shape, Bytes::I8(&[1, 2]), zeros)?;
        let epilogue = Epilogue { bias: None, factors };
        prepared.run(&shape, Bytes::I8(&[1, 2]), zero, epilogue, Output::I8(&mut output, levels))
    };
    let one = ZeroPoints::Scalar(0);
    let text = |result: Result<(), intact8_kernels::Error>| result.unwrap_err().to_string();
    assert_eq!(
        text(error(ZeroPoints::Scalar(128), 0, &[1.0], Levels::all(0))),
        "zero point 128 is not in the range of the bytes"
    );
    assert_eq!(
        text(error(one, 200, &[1.0], Levels::all(0))),
        "zero point 200 is not in the range of the bytes"
    );
    assert_eq!(
        text(error(one, 0, &[1.0; 3], Levels::all(0))),
        "the list of factors has 3 elements, but its shape requires 1"
    );
    assert_eq!(
        text(error(one, 0, &[1.0], Levels { zero_point: 0, min: 2, max: 1 })),
        "the smallest integer of the output is greater than the largest"
    );
    assert_eq!(error(one, 0, &[1.0], Levels::all(0)), Ok(()));
}

/// The operands of a random case; the bits of `options` select types, zero points, bias, factors and levels.
struct Case {
    input: Vec<u8>,
    weights: Vec<u8>,
    bias: Vec<i32>,
    factors: Vec<f32>,
    weight_zeros: Vec<i32>,
    zero: u8,
    options: usize,
}

impl Case {
    fn new(shape: &ConvShape, options: usize, seed: u64) -> Case {
        let mut random = Random::new(seed);
        let (mut input, mut weights) = (random.bytes(shape.input_len()), random.bytes(shape.weights_len()));
        if seed.is_multiple_of(3) {
            // Sums that saturate or overflow in an incorrect kernel.
            input.iter_mut().for_each(|byte| *byte |= 0x7c);
            weights.iter_mut().for_each(|byte| *byte |= 0x7c);
        }
        let depth = shape.weights_len() / shape.out_channels;
        let spread = 1.0 / (40.0 * (depth as f32).sqrt());
        let mut factors: Vec<f32> = random.floats(shape.out_channels).iter().map(|x| x * spread).collect();
        if seed.is_multiple_of(5) {
            let unusual = [f32::NAN, f32::INFINITY, -f32::INFINITY, 3e38, 0.0, 1e-42];
            factors.iter_mut().step_by(2).zip(unusual).for_each(|(factor, unusual)| *factor = unusual);
        }
        Case {
            input,
            weights,
            bias: (0..shape.out_channels).map(|_| random.bits() as i32 >> (8 + random.below(24))).collect(),
            factors,
            weight_zeros: (0..shape.out_channels).map(|_| random.below(256) as i32).collect(),
            zero: random.bits() as u8,
            options,
        }
    }

    fn bit(&self, i: usize) -> bool {
        self.options >> i & 1 == 1
    }

    /// Runs `kernel` on the case; the output is the bytes, or the bits of the floats.
    fn run(
        &self,
        shape: &ConvShape,
        kernel: &'static intact8_kernels::conv_bytes::Kernel,
        threads: usize,
    ) -> Option<Vec<u32>> {
        let signed = |bytes: &[u8]| -> Vec<i8> { bytes.iter().map(|byte| *byte as i8).collect() };
        let (signed_input, signed_weights) = (signed(&self.input), signed(&self.weights));
        let (input, input_zero) = match self.bit(0) {
            false => (Bytes::U8(&self.input), self.zero.into()),
            true => (Bytes::I8(&signed_input), i32::from(self.zero as i8)),
        };
        let zeros: Vec<i32>;
        let (weights, zeros) = match (self.bit(1), self.bit(2)) {
            (false, false) => (Bytes::I8(&signed_weights), ZeroPoints::Scalar(0)),
            (false, true) => (Bytes::U8(&self.weights), ZeroPoints::Scalar(128)),
            (true, false) => {
                zeros = self.weight_zeros.iter().map(|zero| zero - 128).collect();
                (Bytes::I8(&signed_weights), ZeroPoints::Each(&zeros))
            }
            (true, true) => (Bytes::U8(&self.weights), ZeroPoints::Each(&self.weight_zeros)),
        };
        if !kernel.supports(shape, weights, zeros).unwrap() {
            return None;
        }
        let prepared = kernel.prepare(shape, weights, zeros).unwrap();
        let epilogue = Epilogue {
            bias: self.bit(3).then_some(&self.bias),
            factors: if self.bit(4) { &self.factors } else { &self.factors[..1] },
        };
        let len = shape.output_len().unwrap();
        let zero = self.zero.wrapping_mul(3);
        let run = |output: Output<'_>| {
            on_threads(threads, || prepared.run(shape, input, input_zero, epilogue, output)).unwrap();
        };
        Some(match (self.bit(5), self.zero % 3) {
            (true, 0) => {
                let mut floats = vec![-1.0; len];
                run(Output::F32(&mut floats));
                floats
                    .into_iter()
                    .map(|float| if float.is_nan() { u32::MAX } else { float.to_bits() })
                    .collect()
            }
            (narrow, 1) => {
                let mut bytes = vec![77u8; len];
                let levels = Levels { zero_point: zero, min: zero.min(200), max: zero.max(201) };
                run(Output::U8(&mut bytes, if narrow { levels } else { Levels::all(zero) }));
                bytes.into_iter().map(u32::from).collect()
            }
            (narrow, _) => {
                let (mut bytes, zero) = (vec![77i8; len], zero as i8);
                let levels = Levels { zero_point: zero, min: zero.min(-3), max: zero.max(9) };
                run(Output::I8(&mut bytes, if narrow { levels } else { Levels::all(zero) }));
                bytes.into_iter().map(|byte| byte as u32).collect()
            }
        })
    }
}

fn check(shape: &ConvShape, options: usize, seed: u64) {
    let case = Case::new(shape, options, seed);
    let (reference, fast) = kernels().split_last().unwrap();
    let expected = case.run(shape, reference, 1).unwrap();
    for kernel in fast {
        for threads in [1, 3] {
            if let Some(found) = case.run(shape, kernel, threads) {
                assert!(
                    found == expected,
                    "{} with {threads} threads, options {options}, {shape:?}",
                    kernel.name
                );
            }
        }
    }
}

/// Compares the kernels with the last fast one, since the reference takes too long.
fn check_fast(shape: &ConvShape, options: usize) {
    let case = Case::new(shape, options, 1);
    let fast: Vec<_> = kernels()
        .iter()
        .filter(|kernel| case.run(shape, kernel, 1).is_some() && kernel.name != "reference")
        .collect();
    let expected = case.run(shape, fast.last().unwrap(), 1);
    for kernel in fast {
        for threads in [1, 3] {
            assert!(
                case.run(shape, kernel, threads) == expected,
                "{} with {threads} threads, {shape:?}",
                kernel.name
            );
        }
    }
}
