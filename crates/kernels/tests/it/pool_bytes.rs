//! Pools in channels-last order: every kernel computes the bits of the reference.

use intact8_kernels::loops::kernels;
use intact8_kernels::pool_bytes::{Bytes, Divisor, Levels, Output, PoolShape, Scaling, average_pool_bytes};
use proptest::prelude::*;

use crate::conv::shapes;
use crate::random::Random;
use crate::threads::on_threads;

proptest! {
    #[test]
    fn every_kernel_agrees_with_the_reference(
        forward in shapes(), channels in prop_oneof![1..9usize, 60..70usize, 120..131usize], extra in 0..2usize, options in 0..16usize, seed: u64
    ) {
        let shape = PoolShape {
            planes: forward.batch * channels,
            output: forward.output().unwrap().iter().map(|size| size + extra).collect(),
            input: forward.input,
            kernel: forward.kernel,
            strides: forward.strides,
            dilations: forward.dilations,
            pads_begin: forward.pads_begin,
            pads_end: forward.pads_end,
        };
        check(&shape, channels, options, seed);
    }
}

/// A layer that is computed by several threads.
#[test]
fn large_pools_do_not_depend_on_the_number_of_threads() {
    let square = |size: usize| vec![size; 2];
    let shape = PoolShape {
        planes: 2 * 96,
        input: square(60),
        output: square(30),
        kernel: square(3),
        strides: square(2),
        dilations: square(1),
        pads_begin: square(1),
        pads_end: square(1),
    };
    check(&shape, 96, 3, 1);
}

fn check(shape: &PoolShape, channels: usize, options: usize, seed: u64) {
    let bit = |i: usize| options >> i & 1 == 1;
    let mut random = Random::new(seed);
    let len = |sizes: &[usize]| shape.planes * sizes.iter().product::<usize>();
    let bytes = random.bytes(len(&shape.input));
    let signed: Vec<i8> = bytes.iter().map(|byte| *byte as i8).collect();
    let divisor = if bit(0) { Divisor::InsideAndPadding } else { Divisor::Inside };
    let zero = random.bits() as u8;
    let (input, input_zero) = match bit(1) {
        true => (Bytes::I8(&signed), i32::from(zero as i8)),
        false => (Bytes::U8(&bytes), i32::from(zero)),
    };
    let scaling = Scaling { input_zero, factor: random.floats(1)[0] * 3.0 };
    let len = len(&shape.output);
    let mut results = kernels().iter().flat_map(|kernel| {
        [1, 3].map(|threads| {
            let (mut unsigned_max, mut signed_max) = (vec![7u8; len], vec![7i8; len]);
            let (mut unsigned, mut signed_mean, mut floats) =
                (vec![7u8; len], vec![7i8; len], vec![7f32; len]);
            on_threads(threads, || {
                kernel.max_pool_channels_last(shape, channels, &bytes, &mut unsigned_max).unwrap();
                kernel.max_pool_channels_last(shape, channels, &signed, &mut signed_max).unwrap();
                let average = |output| {
                    kernel.average_pool_bytes(shape, channels, divisor, input, scaling, output).unwrap();
                };
                average(Output::U8(&mut unsigned, Levels { zero_point: zero, min: 3, max: 250 }));
                average(Output::I8(&mut signed_mean, Levels::all(zero as i8)));
                average(Output::F32(&mut floats));
            });
            let floats: Vec<u32> = floats.into_iter().map(f32::to_bits).collect();
            (kernel.name, (unsigned_max, signed_max, unsigned, signed_mean, floats))
        })
    });
    let (_, expected) = results.next_back().unwrap();
    for (name, found) in results {
        assert!(found == expected, "{name} on {shape:?}, {channels} channels");
    }
}

#[test]
fn the_average_of_an_image_of_two_channels() {
    let shape = PoolShape {
        planes: 2,
        input: vec![3],
        output: vec![1],
        kernel: vec![3],
        strides: vec![1],
        dilations: vec![1],
        pads_begin: vec![0],
        pads_end: vec![0],
    };
    let mut output = [0i8; 2];
    let scaling = Scaling { input_zero: 10, factor: 2.0 };
    let average = |channels: usize, output: &mut [i8]| {
        let output = Output::I8(output, Levels::all(-1));
        average_pool_bytes(
            &shape,
            channels,
            Divisor::Inside,
            Bytes::U8(&[11, 1, 12, 2, 13, 3]),
            scaling,
            output,
        )
    };
    average(2, &mut output).unwrap();
    // The mean of 1, 2 and 3, and of -9, -8 and -7.
    assert_eq!(output, [3, -17]);
    assert_eq!(average(3, &mut output).unwrap_err().to_string(), "3 channels do not divide 2 planes");
}
