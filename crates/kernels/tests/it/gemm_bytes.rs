//! Matrix products of bytes: the sums of the integer product, requantized.

use intact8_kernels::conv_bytes;
use intact8_kernels::gemm_bytes::{
    ByteMatrix, Bytes, Epilogue, Levels, Output, ZeroPoints, prepare, prepare_for,
};
use intact8_kernels::gemm_integer::{Right, kernels};
use intact8_kernels::loops;
use intact8_kernels::matrix::{Matrix, MatrixMut};
use proptest::prelude::*;

use crate::random::Random;
use crate::threads::on_threads;

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..40usize, 1 => 60..70usize, 1 => 110..150usize]
}

proptest! {
    #[test]
    fn every_kernel_is_exact(m in size(), n in size(), k in size(), layout in 0..8usize, seed: u64) {
        check(m, n, k, layout, seed);
    }
}

#[test]
fn large_products_on_several_threads_are_exact() {
    for (m, n, k) in [(1, 4000, 1200), (3, 2100, 801), (300, 260, 64), (2000, 48, 96)] {
        check(m, n, k, 3, 5);
    }
}

/// The reference of the integer product and of the requantization against every kernel; the bits of `layout` select the
/// signs and whether the right factor is transposed.
fn check(m: usize, n: usize, k: usize, layout: usize, seed: u64) {
    let bit = |i: usize| layout >> i & 1 == 1;
    let mut random = Random::new(seed);
    let (a, b) = (random.bytes(m * k), random.bytes(k * n));
    let signed = |bytes: &[u8]| -> Vec<i8> { bytes.iter().map(|byte| *byte as i8).collect() };
    let (a_signed, b_signed) = (signed(&a), signed(&b));
    let (left, a_matrix, a_zero) = if bit(0) {
        (
            Bytes::I8(&a_signed),
            ByteMatrix::I8(Matrix::row_major(&a_signed, m, k)),
            random.below(256) as i32 - 128,
        )
    } else {
        (Bytes::U8(&a), ByteMatrix::U8(Matrix::row_major(&a, m, k)), random.below(256) as i32)
    };
    let right = match bit(1) {
        false => Matrix::row_major(&b_signed[..], k, n),
        true => Matrix::row_major(&b_signed[..], n, k).transposed(),
    };
    let right = ByteMatrix::I8(right);
    let (bias, factor) = (random.bits() as i32 >> 16, 1.0 / (90.0 * ((k + 1) as f32).sqrt()));
    let mut sums = vec![0; m * n];
    let (reference, zero) = (kernels().last().unwrap(), random.bits() as i8);
    let packed = reference.pack_right(right);
    let (a_zeros, none) = (ZeroPoints::Scalar(a_zero), ZeroPoints::Scalar(0));
    reference.gemm(a_matrix, a_zeros, Right::Packed(&packed), none, MatrixMut::row_major(&mut sums, m, n));
    let (mut signed_bytes, mut unsigned_bytes) = (vec![0i8; m * n], vec![0u8; m * n]);
    let formula = loops::kernels().last().unwrap();
    formula.requantize(bias, factor, zero, &sums, &mut signed_bytes);
    formula.requantize(bias, factor, zero as u8, &sums, &mut unsigned_bytes);
    let biases = vec![bias; n];
    let epilogue = Epilogue { bias: Some(&biases), factors: &[factor] };
    for kernel in conv_bytes::kernels().iter().filter(|kernel| !kernel.name.starts_with("depthwise")) {
        let prepared = prepare_for(kernel, right, none).unwrap();
        for threads in [1, 3] {
            let (mut found_signed, mut found_unsigned) = (vec![1i8; m * n], vec![1u8; m * n]);
            on_threads(threads, || {
                let output = Output::I8(&mut found_signed, Levels::all(zero));
                prepared.run(m, left, a_zero, epilogue, output).unwrap();
                let output = Output::U8(&mut found_unsigned, Levels::all(zero as u8));
                prepared.run(m, left, a_zero, epilogue, output).unwrap();
            });
            assert!(found_signed == signed_bytes, "{} on {m}x{n}x{k}, {threads} threads", kernel.name);
            assert!(found_unsigned == unsigned_bytes, "{} on {m}x{n}x{k}, {threads} threads", kernel.name);
        }
    }
}

#[test]
fn a_row_times_a_matrix() {
    let right = ByteMatrix::I8(Matrix::row_major(&[1, 2, 3, 4, 5, 6], 3, 2));
    let prepared = prepare(right, ZeroPoints::Scalar(0)).unwrap();
    let mut output = [0u8; 2];
    let epilogue = Epilogue { bias: Some(&[1, 0]), factors: &[0.5, 10.0] };
    // 1·1 + 2·3 + 3·5 + 1 is 23, whose half is rounded to the even 12; 1·2 + 2·4 + 3·6 is 28.
    let result = Output::U8(&mut output, Levels { zero_point: 1, min: 0, max: 200 });
    prepared.run(1, Bytes::U8(&[11, 12, 13]), 10, epilogue, result).unwrap();
    assert_eq!(output, [13, 200]);
    let result = Output::U8(&mut output, Levels::all(0));
    let refused = prepared.run(1, Bytes::U8(&[1]), 10, epilogue, result).unwrap_err();
    assert_eq!(refused.to_string(), "the input has 1 elements, but its shape requires 3");
}
