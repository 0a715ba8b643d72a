//! Operations on rows: softmax, layer normalization, and the transpose; equal bits from every fused
//! kernel.

use intact8_kernels::layer_norm::Normalization;
use intact8_kernels::loops::kernels;
use intact8_kernels::softmax;
use intact8_kernels::transpose::{transpose, transpose_bytes};
use proptest::prelude::*;

use crate::random::{Random, assert_same};
use crate::threads::on_threads;

proptest! {
    #[test]
    fn softmax_is_accurate_and_equal_for_fused_kernels(rows in 0..8usize, row_len in 1..70usize, spread in 0.1f32..50.0, seed: u64) {
        let input: Vec<f32> = Random::new(seed).floats(rows * row_len).iter().map(|x| x * spread).collect();
        let results: Vec<_> = kernels().iter().map(|kernel| {
            let (mut plain, mut logarithm) = (vec![0.0; input.len()], vec![0.0; input.len()]);
            kernel.softmax(row_len, &input, &mut plain);
            kernel.log_softmax(row_len, &input, &mut logarithm);
            (kernel, plain, logarithm)
        }).collect();
        let (reference, compiled) = results.split_last().unwrap();
        for (kernel, plain, logarithm) in compiled {
            let name = kernel.name;
            if kernel.fused() && compiled[0].0.fused() {
                assert_same(plain, &compiled[0].1, true, 0.0, name);
                assert_same(logarithm, &compiled[0].2, true, 0.0, name);
            }
            assert_same(plain, &reference.1, false, 4.0, name);
            assert_same(logarithm, &reference.2, false, 2.0 * spread + 8.0, name);
        }
    }

    #[test]
    fn layer_norm_is_accurate_and_equal_for_all_kernels(rows in 0..8usize, row_len in 1..70usize, with_bias: bool, seed: u64) {
        let mut random = Random::new(seed);
        let (input, scale, bias) = (random.floats(rows * row_len), random.floats(row_len), random.floats(row_len));
        let normalization = Normalization { scale: &scale, bias: with_bias.then_some(&bias), epsilon: 1e-3 };
        let results: Vec<_> = kernels().iter().map(|kernel| {
            let mut output = vec![0.0; input.len()];
            kernel.layer_norm(normalization, &input, &mut output);
            (kernel.name, output)
        }).collect();
        let (reference, compiled) = results.split_last().unwrap();
        for (name, output) in compiled {
            assert_same(output, &compiled[0].1, true, 0.0, name);
            assert_same(output, &reference.1, false, 64.0, name);
        }
    }

    #[test]
    fn transpose_exchanges_rows_and_columns(rows in 0..70usize, columns in 0..70usize) {
        let input: Vec<u32> = (0..(rows * columns) as u32).collect();
        let mut output = vec![0; input.len()];
        transpose(&input, rows, columns, &mut output);
        for i in 0..rows {
            for j in 0..columns {
                assert_eq!(output[j * rows + i], input[i * columns + j]);
            }
        }
    }

    #[test]
    fn the_transpose_of_bytes_exchanges_rows_and_columns(rows in sizes(), columns in sizes()) {
        let input = Random::new(1).bytes(rows * columns);
        let (mut output, mut expected) = (vec![7; input.len()], vec![0; input.len()]);
        transpose_bytes(&input, rows, columns, &mut output);
        transpose(&input, rows, columns, &mut expected);
        prop_assert!(output == expected, "{rows} rows, {columns} columns");
    }
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..40usize, 1 => 250..300usize, 1 => 505..540usize]
}

#[test]
fn many_rows_do_not_depend_on_the_number_of_threads() {
    let input = Random::new(1).floats(300 * 1001);
    let run = |threads: usize| {
        let mut output = vec![0.0; input.len()];
        on_threads(threads, || softmax::softmax(1001, &input, &mut output));
        output
    };
    assert!(run(1) == run(3));
}

#[test]
fn softmax_of_equal_values_is_uniform_and_of_nan_is_nan() {
    let mut output = [0.0; 8];
    let input = [1e30, 1e30, 1e30, 1e30, 1.0, f32::NAN, f32::NEG_INFINITY, 2.0];
    softmax::softmax(4, &input, &mut output);
    assert_eq!(output[..4], [0.25; 4]);
    assert!(output[4..].iter().all(|y| y.is_nan()));
}
