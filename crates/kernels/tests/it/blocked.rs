//! Conversions between the plain and the blocked layout, and pools of blocked tensors.

use intact8_kernels::blocked::{BLOCK, PlaneSizes, blocked_len};
use intact8_kernels::loops::kernels;
use intact8_kernels::pool::{Divisor, PoolShape, average_pool, max_pool};
use proptest::prelude::*;

use crate::conv::shapes;
use crate::random::{Random, assert_same};
use crate::threads::on_threads;

proptest! {
    #[test]
    fn conversions_move_every_element(batch in 0..3usize, channels in 0..40usize, positions in 0..70usize) {
        check(PlaneSizes { batch, channels, positions });
    }
}

proptest! {
    #[test]
    fn pools_of_blocked_tensors_equal_those_of_plain_ones(
        forward in shapes(),
        extra in 0..2usize,
        include_padding: bool,
        seed: u64,
    ) {
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
        check_pools(&shape, [forward.batch, forward.in_channels], divisor, seed);
    }
}

#[test]
fn large_pools_do_not_depend_on_the_number_of_threads() {
    let shape = PoolShape {
        planes: 40,
        input: vec![90, 91],
        output: vec![45, 46],
        kernel: vec![3; 2],
        strides: vec![2; 2],
        dilations: vec![1; 2],
        pads_begin: vec![1; 2],
        pads_end: vec![1; 2],
    };
    check_pools(&shape, [1, 40], Divisor::Inside, 2);
}

fn check_pools(shape: &PoolShape, [batch, channels]: [usize; 2], divisor: Divisor, seed: u64) {
    let sizes = |sizes: &[usize]| PlaneSizes { batch, channels, positions: sizes.iter().product() };
    let (inner, outer) = (sizes(&shape.input), sizes(&shape.output));
    let plain = Random::new(seed).floats(shape.planes * inner.positions);
    let (mut max, mut average) =
        (vec![0.0; shape.planes * outer.positions], vec![0.0; shape.planes * outer.positions]);
    max_pool(shape, &plain, &mut max).unwrap();
    average_pool(shape, divisor, &plain, &mut average).unwrap();
    let means: Vec<f32> = plain
        .chunks(inner.positions)
        .map(|plane| (plane.iter().map(|x| f64::from(*x)).sum::<f64>() / plane.len() as f64) as f32)
        .collect();
    let planes = batch * channels.div_ceil(BLOCK);
    let blocked_shape = PoolShape { planes, ..shape.clone() };
    let mut blocked = vec![f32::NAN; planes * BLOCK * inner.positions];
    for kernel in kernels() {
        kernel.to_blocked(inner, &plain, &mut blocked);
        let plain_of = |sizes: PlaneSizes, run: &(dyn Fn(&mut [f32]) + Sync)| {
            let mut output = vec![f32::NAN; planes * BLOCK * sizes.positions];
            on_threads(2, || run(&mut output));
            let mut found = vec![f32::NAN; shape.planes * sizes.positions];
            kernel.from_blocked(sizes, &output, &mut found);
            found
        };
        let found = plain_of(outer, &|out| kernel.max_pool_blocked(&blocked_shape, &blocked, out).unwrap());
        assert_same(&found, &max, true, 0.0, &format!("{}: max on {shape:?}", kernel.name));
        let found = plain_of(outer, &|out| {
            kernel.average_pool_blocked(&blocked_shape, divisor, &blocked, out).unwrap()
        });
        assert_same(&found, &average, true, 0.0, &format!("{}: average on {shape:?}", kernel.name));
        let found = plain_of(PlaneSizes { positions: 1, ..inner }, &|out| {
            kernel.global_average_blocked(planes, &blocked, out).unwrap();
        });
        assert_same(&found, &means, false, 1.0, &format!("{}: mean on {shape:?}", kernel.name));
    }
    let mut output = vec![0.0; planes * BLOCK];
    let refused = kernels()[0].global_average_blocked(planes + 1, &blocked, &mut output).unwrap_err();
    let expected = (planes + 1) * BLOCK;
    let message = format!("the output has {} elements, but its shape requires {expected}", planes * BLOCK);
    assert_eq!(refused.to_string(), message);
}

#[test]
fn large_conversions_move_every_element() {
    check(PlaneSizes { batch: 2, channels: 35, positions: 16_001 });
}

fn check(sizes: PlaneSizes) {
    let PlaneSizes { batch, channels, positions } = sizes;
    let plain: Vec<f32> = (0..batch * channels * positions).map(|i| (i + 1) as f32).collect();
    let blocks = channels.div_ceil(BLOCK);
    let mut expected = vec![0.0; blocked_len(batch, channels, positions)];
    for (i, value) in plain.iter().enumerate() {
        let (image, channel, position) = (i / positions / channels, i / positions % channels, i % positions);
        let place = (image * blocks + channel / BLOCK) * positions + position;
        expected[place * BLOCK + channel % BLOCK] = *value;
    }
    for kernel in kernels() {
        for threads in [1, 2] {
            let (mut blocked, mut back) = (vec![f32::NAN; expected.len()], vec![f32::NAN; plain.len()]);
            on_threads(threads, || {
                kernel.to_blocked(sizes, &plain, &mut blocked);
                kernel.from_blocked(sizes, &blocked, &mut back);
            });
            assert!(blocked == expected, "{} on {threads} threads, {sizes:?}", kernel.name);
            assert!(back == plain, "{} on {threads} threads, {sizes:?}", kernel.name);
        }
    }
}
