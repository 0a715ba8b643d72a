//! Attention: every kernel is close to the reference, and the bits depend neither on the kernel nor on the threads.

use intact8_kernels::attention::Head;
use intact8_kernels::gemm::{Kernel, kernels};
use intact8_kernels::matrix::Matrix;
use proptest::prelude::*;

use crate::random::{Random, assert_same};
use crate::threads::on_threads;

fn keys() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..40usize, 1 => 505..520usize, 1 => 1020..1050usize]
}

proptest! {
    #[test]
    fn every_kernel_agrees_with_the_reference(
        n_heads in 0..4usize,
        queries in prop_oneof![0..5usize, 5..20usize, 50..120usize],
        keys in keys(),
        widths in (0..70usize, 0..70usize),
        mask in 0..4usize,
        seed: u64,
    ) {
        check(n_heads, [queries, keys, widths.0, widths.1], mask, seed);
    }
}

#[test]
fn large_heads_do_not_depend_on_the_number_of_threads() {
    check(5, [197, 197, 64, 64], 1, 3);
    check(2, [130, 1100, 32, 48], 2, 4);
    check(20, [2, 1100, 70, 48], 1, 5);
}

/// `mask`: none, any numbers, a causal one, or the same one of hidden keys for all queries.
fn check(n_heads: usize, [queries, keys, width, value_width]: [usize; 4], mask: usize, seed: u64) {
    let mut random = Random::new(seed);
    let (query, key) = (random.floats(n_heads * queries * width), random.floats(n_heads * keys * width));
    let value = random.floats(n_heads * keys * value_width);
    let summands: Vec<f32> = match mask {
        1 => random.floats(queries * keys).iter().map(|x| x * 30.0).collect(),
        2 => (0..queries * keys).map(|i| if i % keys > i / keys { f32::NEG_INFINITY } else { 0.0 }).collect(),
        _ => random.floats(keys).iter().map(|x| if *x < 0.0 { f32::NEG_INFINITY } else { *x }).collect(),
    };
    let mask = (mask > 0).then_some(Matrix {
        row_stride: if mask == 3 { 0 } else { keys },
        ..Matrix::row_major(&summands, queries, keys)
    });
    let run = |kernel: &Kernel, threads: usize| {
        let mut output = vec![f32::NAN; n_heads * queries * value_width];
        let mut rest = &mut output[..];
        let heads = (0..n_heads).map(|head| {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(queries * value_width);
            rest = others;
            let part = |data: &'_ [f32], rows: usize, columns: usize| -> std::ops::Range<usize> {
                assert_eq!(data.len(), n_heads * rows * columns);
                head * rows * columns..(head + 1) * rows * columns
            };
            Head {
                query: Matrix::row_major(&query[part(&query, queries, width)], queries, width),
                key: Matrix::row_major(&key[part(&key, keys, width)], keys, width),
                value: Matrix::row_major(&value[part(&value, keys, value_width)], keys, value_width),
                mask,
                output: own,
            }
        });
        let heads: Vec<_> = heads.collect();
        on_threads(threads, || kernel.attention(0.3, heads));
        output
    };
    let (reference, compiled) = kernels().split_last().unwrap();
    let expected = run(reference, 1);
    let first = run(&compiled[0], 1);
    for kernel in compiled {
        for threads in [1, 3] {
            let what = format!("{} on {threads} threads", kernel.name);
            let found = run(kernel, threads);
            assert_same(&found, &first, kernel.fused && compiled[0].fused, 512.0, &what);
            assert_same(&found, &expected, false, 512.0, &what);
        }
    }
}

#[test]
fn nan_is_kept_and_a_query_that_sees_no_key_gives_zero() {
    let (query, key, value) = ([1.0, f32::NAN, 1.0], [1.0, 2.0], [3.0, 5.0]);
    let hidden = f32::NEG_INFINITY;
    let mask = [0.0, hidden, 0.0, 0.0, hidden, hidden];
    for kernel in kernels() {
        let mut output = [f32::NAN; 3];
        let head = Head {
            query: Matrix::row_major(&query, 3, 1),
            key: Matrix::row_major(&key, 2, 1),
            value: Matrix::row_major(&value, 2, 1),
            mask: Some(Matrix::row_major(&mask, 3, 2)),
            output: &mut output,
        };
        kernel.attention(1.0, vec![head]);
        assert_eq!(output[0], 3.0, "{}", kernel.name);
        assert!(output[1].is_nan(), "{}", kernel.name);
        assert_eq!(output[2], 0.0, "{}", kernel.name);
    }
}
