//! Integer products: exact in every kernel, over the full range of bytes of either sign.

use intact8_kernels::gemm_integer::{ByteMatrix, Right, ZeroPoints, kernels};
use intact8_kernels::matrix::{Matrix, MatrixMut};
use proptest::prelude::*;

use crate::random::Random;
use crate::threads::on_threads;

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..36usize, 1 => 60..70usize, 1 => 110..150usize]
}

proptest! {
    #[test]
    fn every_kernel_is_exact(m in size(), n in size(), k in size(), layout in 0..128usize, seed: u64) {
        check(m, n, k, layout, seed);
    }
}

#[test]
fn large_products_on_several_threads_are_exact() {
    for layout in 0..128 {
        check(230, 75, 301, layout, 7);
    }
}

/// A product as every kernel computes it; the bits of `layout` select signs, strides and zero points.
fn check(m: usize, n: usize, k: usize, layout: usize, seed: u64) {
    let bit = |i: usize| layout >> i & 1 == 1;
    let mut random = Random::new(seed);
    let extreme = |bytes: &mut Vec<u8>| {
        // Products that saturate or overflow in an incorrect kernel.
        let len = bytes.len();
        bytes.iter_mut().take(len / 2).for_each(|byte| *byte = if *byte & 1 == 0 { 0x80 } else { 0xff });
    };
    let (mut a, mut b) = (random.bytes(m * k), random.bytes(k * n));
    if seed.is_multiple_of(3) {
        extreme(&mut a);
        extreme(&mut b);
    }
    let (a_signed, b_signed): (Vec<i8>, Vec<i8>) =
        (a.iter().map(|x| *x as i8).collect(), b.iter().map(|x| *x as i8).collect());
    let a = bytes(&a, &a_signed, bit(0), m, k, bit(1));
    let b = bytes(&b, &b_signed, bit(2), k, n, bit(3));
    let zeros = |random: &mut Random, len: usize| -> Vec<i32> {
        (0..len).map(|_| random.below(256) as i32 - 128).collect()
    };
    let (row_zeros, column_zeros) = (zeros(&mut random, m), zeros(&mut random, n));
    let a_zero =
        if bit(4) { ZeroPoints::Each(&row_zeros) } else { ZeroPoints::Scalar(random.below(256) as i32) };
    let b_zero = match (bit(5), bit(6)) {
        (true, _) => ZeroPoints::Each(&column_zeros),
        (false, true) => ZeroPoints::Scalar(random.below(256) as i32 - 128),
        (false, false) => ZeroPoints::Scalar(0),
    };
    let mut results = kernels().iter().flat_map(|kernel| {
        [1, 3].map(|threads| {
            let packed = kernel.pack_right(b);
            let right = if threads == 1 { Right::Packed(&packed) } else { Right::Plain(b) };
            let mut c = vec![-1; m * (n + 1)];
            let target = MatrixMut { data: &mut c, rows: m, columns: n, row_stride: n + 1 };
            on_threads(threads, || kernel.gemm(a, a_zero, right, b_zero, target));
            (kernel.name, c)
        })
    });
    let (_, expected) = results.next_back().unwrap();
    for (name, found) in results {
        assert_eq!(found, expected, "{name} {m}x{n}x{k} layout {layout}");
    }
}

fn bytes<'a>(
    unsigned: &'a [u8],
    signed: &'a [i8],
    is_signed: bool,
    rows: usize,
    columns: usize,
    transposed: bool,
) -> ByteMatrix<'a> {
    match (is_signed, transposed) {
        (false, false) => ByteMatrix::U8(Matrix::row_major(unsigned, rows, columns)),
        (false, true) => ByteMatrix::U8(Matrix::row_major(unsigned, columns, rows).transposed()),
        (true, false) => ByteMatrix::I8(Matrix::row_major(signed, rows, columns)),
        (true, true) => ByteMatrix::I8(Matrix::row_major(signed, columns, rows).transposed()),
    }
}
