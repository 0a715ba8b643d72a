//! fp32 products: equal bits from every fused kernel, for every shape, packing and number of threads.

use intact8_kernels::elementwise::{Unary, unary_in_place};
use intact8_kernels::gemm::{Epilogue, Init, Kernel, Left, MatrixProduct, Right, kernels};
use intact8_kernels::matrix::{Matrix, MatrixMut};
use proptest::prelude::*;

use crate::random::{Random, assert_same};
use crate::threads::on_threads;

/// Sizes near those of the tiles, and a few that need several pieces.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..36usize, 1 => 60..70usize, 1 => 120..150usize]
}

fn depth() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..40usize, 1 => 250..260usize, 1 => 500..530usize]
}

#[test]
fn two_by_two_matrices_are_multiplied() {
    for kernel in kernels() {
        let (a, b, mut c) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [0.0; 4]);
        let left = Left::Plain(Matrix::row_major(&a, 2, 2));
        let right = Right::Plain(Matrix::row_major(&b, 2, 2));
        kernel.gemm(left, right, Init::Zero, MatrixMut::row_major(&mut c, 2, 2));
        assert_eq!(c, [19.0, 22.0, 43.0, 50.0], "{}", kernel.name);
    }
}

proptest! {
    #[test]
    fn every_kernel_agrees_with_the_reference(m in size(), n in size(), k in depth(), layout in 0..64usize, seed: u64) {
        check(m, n, k, layout, seed);
    }

    #[test]
    fn every_kernel_agrees_with_the_reference_on_few_rows(m in 0..6usize, n in 0..600usize, k in depth(), layout in 0..64usize, seed: u64) {
        check(m, n, k, layout, seed);
    }
}

#[test]
fn large_products_do_not_depend_on_the_number_of_threads() {
    for (m, n, k) in [(150, 300, 300), (15, 2100, 260), (300, 40, 260), (29, 33, 1030)] {
        for layout in [0, 4, 9, 18, 36, 27] {
            check(m, n, k, layout, 7);
        }
    }
}

/// A product as every kernel computes it, its operands plain or packed, transposed or not, on one thread and
/// on three.
fn check(m: usize, n: usize, k: usize, layout: usize, seed: u64) {
    let mut random = Random::new(seed);
    let (a, b, before) = (random.floats(m * k), random.floats(k * n), random.floats(m * (n + 3)));
    let (bias_rows, bias_columns) = (random.floats(m), random.floats(n));
    let a =
        if layout & 1 == 0 { Matrix::row_major(&a, m, k) } else { Matrix::row_major(&a, k, m).transposed() };
    let b =
        if layout & 2 == 0 { Matrix::row_major(&b, k, n) } else { Matrix::row_major(&b, n, k).transposed() };
    let init = match layout >> 4 {
        0 => Init::Zero,
        1 => Init::Accumulate,
        2 => Init::Rows(&bias_rows),
        _ => Init::Columns(&bias_columns),
    };
    let product = |kernel: &Kernel| {
        let (packed_a, packed_b) = (kernel.pack_left(a), kernel.pack_right(b));
        let left = if layout & 4 == 0 { Left::Plain(a) } else { Left::Packed(&packed_a) };
        let right = if layout & 8 == 0 { Right::Plain(b) } else { Right::Packed(&packed_b) };
        let mut c = before.clone();
        let target = MatrixMut { data: &mut c, rows: m, columns: n, row_stride: n + 3 };
        kernel.gemm(left, right, init, target);
        c
    };
    let expected = product(kernels().last().expect("the table ends in the reference"));
    for kernel in kernels() {
        for threads in [1, 3] {
            let found = on_threads(threads, || product(kernel));
            let what = format!("{} on {threads} threads, {m}x{n}x{k} layout {layout}", kernel.name);
            assert_same(&found, &expected, kernel.fused, 2.0 * (k as f32 + 1.0), &what);
        }
    }
}

proptest! {
    #[test]
    fn epilogues_equal_separate_operations(m in size(), n in size(), k in depth(), with: [bool; 4], seed: u64) {
        check_epilogue([m, n, k], with, seed);
    }
}

#[test]
fn epilogues_of_large_products_equal_separate_operations() {
    for sizes in [[150, 300, 300], [1, 2100, 260], [15, 1030, 129]] {
        check_epilogue(sizes, [true; 4], 5);
    }
}

fn check_epilogue([m, n, k]: [usize; 3], [added, residual, activation, packed]: [bool; 4], seed: u64) {
    let mut random = Random::new(seed);
    let (a, b, bias) = (random.floats(m * k), random.floats(k * n), random.floats(n));
    let (of_columns, summands) = (random.floats(n), random.floats(m * (n + 2)));
    let of_columns = added.then_some(&of_columns[..]);
    let (a, b) = (Matrix::row_major(&a, m, k), Matrix::row_major(&b, k, n));
    let residual = residual.then_some(Matrix { row_stride: n + 2, ..Matrix::row_major(&summands, m, n) });
    let activation = activation.then_some(if seed.is_multiple_of(2) { Unary::Gelu } else { Unary::Relu });
    for kernel in kernels() {
        let packed_b = kernel.pack_right(b);
        let right = if packed { Right::Packed(&packed_b) } else { Right::Plain(b) };
        let mut expected = vec![0.0; m * n];
        let target = MatrixMut::row_major(&mut expected, m, n);
        kernel.gemm(Left::Plain(a), right, Init::Columns(&bias), target);
        if let Some(of_columns) = of_columns {
            expected.iter_mut().enumerate().for_each(|(i, c)| *c += of_columns[i % n]);
        }
        if let Some(residual) = residual {
            for (i, c) in expected.iter_mut().enumerate() {
                *c += residual.at(i / n, i % n);
            }
        }
        if let Some(activation) = activation {
            unary_in_place(activation, &mut expected);
        }
        for threads in [1, 3] {
            let mut found = vec![f32::NAN; m * n];
            on_threads(threads, || {
                let target = MatrixMut::row_major(&mut found, m, n);
                let epilogue = Epilogue { bias: of_columns, residual, activation };
                kernel.gemm_with(Left::Plain(a), right, Init::Columns(&bias), epilogue, target);
            });
            let what = format!("{} on {threads} threads, {m}x{n}x{k}", kernel.name);
            assert_same(&found, &expected, true, 0.0, &what);
        }
    }
}

#[test]
fn a_batch_equals_its_single_products() {
    let mut random = Random::new(3);
    let (a, b) = (random.floats(6 * 5 * 70), random.floats(6 * 70 * 90));
    for kernel in kernels() {
        let mut found = vec![0.0; 6 * 5 * 90];
        let products = found.chunks_mut(5 * 90).enumerate().map(|(i, c)| MatrixProduct {
            a: Left::Plain(Matrix::row_major(&a[i * 5 * 70..][..5 * 70], 5, 70)),
            b: Right::Plain(Matrix::row_major(&b[i * 70 * 90..][..70 * 90], 70, 90)),
            init: Init::Zero,
            c: MatrixMut::row_major(c, 5, 90),
        });
        kernel.gemm_batch(products.collect());
        for (i, found) in found.chunks(5 * 90).enumerate() {
            let left = Left::Plain(Matrix::row_major(&a[i * 5 * 70..][..5 * 70], 5, 70));
            let right = Right::Plain(Matrix::row_major(&b[i * 70 * 90..][..70 * 90], 70, 90));
            let mut expected = vec![0.0; 5 * 90];
            kernel.gemm(left, right, Init::Zero, MatrixMut::row_major(&mut expected, 5, 90));
            assert_eq!(found, expected, "{}", kernel.name);
        }
    }
}

#[test]
fn an_operand_packed_by_another_kernel_panics() {
    let [.., second, last] = kernels() else { panic!("there are the reference and a faster one") };
    let (a, b, mut c) = ([1.0; 4], [1.0; 4], [0.0; 4]);
    let packed = second.pack_left(Matrix::row_major(&a, 2, 2));
    let right = Right::Plain(Matrix::row_major(&b, 2, 2));
    let product = std::panic::AssertUnwindSafe(|| {
        last.gemm(Left::Packed(&packed), right, Init::Zero, MatrixMut::row_major(&mut c, 2, 2));
    });
    assert!(std::panic::catch_unwind(product).is_err());
}
