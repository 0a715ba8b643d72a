//! Pools: every kernel agrees with the reference bit for bit.

use intact8_kernels::loops::kernels;
use intact8_kernels::pool::{Divisor, PoolShape, average_pool, max_pool, max_pool_with_indices};
use proptest::prelude::*;

use crate::conv::shapes;
use crate::random::{Random, assert_same};

proptest! {
    #[test]
    fn every_kernel_agrees_with_the_reference(forward in shapes(), extra in 0..2usize, include_padding: bool, seed: u64) {
        let shape = PoolShape {
            planes: forward.batch * forward.in_channels,
            output: forward.output().unwrap().iter().map(|size| size + extra).collect(),
            input: forward.input,
            kernel: forward.kernel,
            strides: forward.strides,
            dilations: forward.dilations,
            pads_begin: forward.pads_begin,
            pads_end: forward.pads_end,
        };
        let divisor = if include_padding { Divisor::InsideAndPadding } else { Divisor::Inside };
        check(&shape, divisor, seed);
    }
}

fn check(shape: &PoolShape, divisor: Divisor, seed: u64) {
    let mut random = Random::new(seed);
    let len = |sizes: &[usize]| shape.planes * sizes.iter().product::<usize>();
    let (input, bytes) = (random.floats(len(&shape.input)), random.bytes(len(&shape.input)));
    let mut results = kernels().iter().map(|kernel| {
        let (mut max, mut average) = (vec![f32::NAN; len(&shape.output)], vec![f32::NAN; len(&shape.output)]);
        let mut byte_max = vec![0; len(&shape.output)];
        kernel.max_pool(shape, &input, &mut max).unwrap();
        kernel.max_pool(shape, &bytes, &mut byte_max).unwrap();
        kernel.average_pool(shape, divisor, &input, &mut average).unwrap();
        (kernel.name, max, byte_max, average)
    });
    let (_, max, byte_max, average) = results.next_back().unwrap();
    for (name, found_max, found_byte_max, found_average) in results {
        assert_same(&found_max, &max, true, 0.0, &format!("{name}: max on {shape:?}"));
        assert_eq!(found_byte_max, byte_max, "{name}: max on {shape:?}");
        assert_same(&found_average, &average, true, 0.0, &format!("{name}: average on {shape:?}"));
    }
    let (mut largest, mut indices) = (max.clone(), vec![0; max.len()]);
    max_pool_with_indices(shape, &input, &mut largest, &mut indices).unwrap();
    assert_same(&largest, &max, true, 0.0, "with indices");
    let (inputs, outputs) = (len(&shape.input) / shape.planes, (len(&shape.output) / shape.planes).max(1));
    for (i, (index, max)) in indices.iter().zip(&max).enumerate() {
        let place = usize::try_from(*index).map(|index| input[i / outputs * inputs + index]);
        assert_eq!(place.unwrap_or(f32::NEG_INFINITY), *max);
    }
}

/// Three numbers, windows of two with a stride of two, the output rounded up: the last window exceeds the padding.
#[test]
fn averages_divide_by_the_number_of_counted_taps() {
    let shape = PoolShape {
        planes: 1,
        input: vec![3],
        output: vec![3],
        kernel: vec![2],
        strides: vec![2],
        dilations: vec![1],
        pads_begin: vec![1],
        pads_end: vec![1],
    };
    let mut output = [0.0; 3];
    average_pool(&shape, Divisor::Inside, &[1.0, 2.0, 4.0], &mut output).unwrap();
    assert_eq!(output, [1.0, 3.0, 0.0]);
    average_pool(&shape, Divisor::InsideAndPadding, &[1.0, 2.0, 4.0], &mut output).unwrap();
    assert_eq!(output, [0.5, 3.0, 0.0]);
    max_pool(&shape, &[1.0, f32::NAN, 4.0], &mut output).unwrap();
    assert_eq!(output, [1.0, 4.0, f32::NEG_INFINITY]);
    let refused = max_pool(&shape, &[1.0, 2.0], &mut output).unwrap_err();
    assert_eq!(refused.to_string(), "the input has 2 elements, but its shape requires 3");
}
