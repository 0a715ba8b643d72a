//! Quantization: equal bits from every kernel, for every float.

use intact8_kernels::loops::kernels;
use intact8_kernels::quantize::{
    Affine, ProductScaling, Quantized, add_bytes, mul_bytes, per_axis, quantize, requantize, requantize_each,
};
use proptest::prelude::*;

use crate::random::Random;

proptest! {
    #[test]
    fn every_kernel_agrees_with_the_reference(len in 0..300usize, scale in scales(), seed: u64) {
        let mut random = Random::new(seed);
        let anything: Vec<f32> = (0..len).map(|_| f32::from_bits(random.bits() as u32)).collect();
        let steps = random.floats(len).into_iter().map(|x| (x * 600.0).round() * 0.5 * scale).collect::<Vec<f32>>();
        for input in [anything, steps] {
            check::<i8>(&input, scale, random.bits() as i8);
            check::<u8>(&input, scale, random.bits() as u8);
            check::<i16>(&input, scale, random.bits() as i16);
            check::<u16>(&input, scale, random.bits() as u16);
        }
    }
}

proptest! {
    #[test]
    fn every_kernel_agrees_with_the_reference_on_requantization(len in 0..300usize, factor in scales(), seed: u64) {
        let mut random = Random::new(seed);
        let sums: Vec<i32> = (0..len).map(|_| random.bits() as i32 >> (random.bits() % 32)).collect();
        let factors: Vec<f32> = random.floats(len).into_iter().map(|x| x * factor).collect();
        let (bias, zero) = (random.bits() as i32 >> 12, random.bits() as i8);
        let mut results = kernels().iter().map(|kernel| {
            let (mut signed, mut unsigned) = (vec![1i8; len], vec![1u8; len]);
            kernel.requantize(bias, factor, zero, &sums, &mut signed);
            kernel.requantize_each(&factors, zero as u8, &sums, &mut unsigned);
            (signed, unsigned)
        });
        let expected = results.next_back().unwrap();
        results.for_each(|found| assert_eq!(found, expected));
    }
}

proptest! {
    #[test]
    fn every_kernel_agrees_with_the_reference_on_addition(len in 0..300usize, a in scales(), b in scales(), seed: u64) {
        let mut random = Random::new(seed);
        let [x, y]: [Vec<u8>; 2] = [(); 2].map(|()| (0..len).map(|_| random.bits() as u8).collect());
        let [signed_x, signed_y] = [&x, &y].map(|bytes| bytes.iter().map(|byte| *byte as i8).collect::<Vec<_>>());
        let rest = f32::from(random.bits() as i16) / 64.0;
        let mut results = kernels().iter().map(|kernel| {
            let (mut signed, mut unsigned) = (vec![1i8; len], vec![1u8; len]);
            kernel.add_bytes([a, b], rest, &signed_x, &signed_y, &mut signed);
            kernel.add_bytes([a, b], rest, &x, &y, &mut unsigned);
            (signed, unsigned)
        });
        let expected = results.next_back().unwrap();
        results.for_each(|found| assert_eq!(found, expected));
    }
}

proptest! {
    #[test]
    fn every_kernel_agrees_with_the_reference_on_multiplication(len in 0..300usize, repeats in 1..4usize, factor in scales(), seed: u64) {
        let mut random = Random::new(seed);
        let [x, y] = [len * repeats, len].map(|len| random.bytes(len));
        let [signed_x, signed_y] = [&x, &y].map(|bytes| bytes.iter().map(|byte| *byte as i8).collect::<Vec<_>>());
        let zeros = [random.bits() as u8, random.bits() as u8];
        let zero = random.bits() as u8;
        let unsigned_scaling = ProductScaling { zeros, factor, zero_point: zero };
        let scaling = ProductScaling { zeros: zeros.map(|zero| zero as i8), factor, zero_point: zero as i8 };
        let mut results = kernels().iter().map(|kernel| {
            let (mut signed, mut unsigned) = (vec![1i8; x.len()], vec![1u8; x.len()]);
            kernel.mul_bytes(scaling, &signed_x, &signed_y, &mut signed);
            kernel.mul_bytes(unsigned_scaling, &x, &y, &mut unsigned);
            let mut sums = vec![1u8; len];
            kernel.add_bytes_within([factor, 0.75], 3.5, [zero.min(zeros[0]), zero.max(zeros[0])], &x[..len], &y, &mut sums);
            (signed, unsigned, sums)
        });
        let expected = results.next_back().unwrap();
        results.for_each(|found| assert_eq!(found, expected));
    }
}

#[test]
fn multiplication_of_bytes_repeats_the_second_operand() {
    let mut products = [0u8; 4];
    let scaling = ProductScaling { zeros: [1, 2], factor: 0.5, zero_point: 10 };
    mul_bytes(scaling, &[2, 3, 4, 101], &[3, 12], &mut products);
    // 1·1/2 becomes 0, 3·1/2 becomes 2.
    assert_eq!(products, [10, 20, 12, 255]);
}

#[test]
fn addition_of_bytes_rounds_half_to_even_and_saturates() {
    let mut sums = [0u8; 4];
    add_bytes([0.5, 2.0], -1.0, &[3u8, 4, 255, 0], &[0, 1, 255, 0], &mut sums);
    // 0.5 becomes 0, 3 stays.
    assert_eq!(sums, [0, 3, 255, 0]);
}

#[test]
fn requantization_rounds_half_to_even_and_saturates() {
    let (mut signed, mut unsigned) = ([0i8; 5], [0u8; 3]);
    requantize(3, 0.5, -2, &[0, 2, -6, 1000, i32::MAX], &mut signed);
    // 1.5 and 2.5 become 2, -1.5 becomes -2; the last one wraps.
    assert_eq!(signed, [0, 0, -4, 127, -128]);
    requantize_each(&[0.5, 0.25, 100.0], 10, &[3, -2, 5], &mut unsigned);
    assert_eq!(unsigned, [12, 10, 255]);
}

fn scales() -> impl Strategy<Value = f32> {
    prop_oneof![3 => 1e-4f32..10.0, 1 => Just(1.0f32), 1 => Just(1e-40f32), 1 => any::<f32>()]
}

fn check<T: Quantized + PartialEq + std::fmt::Debug>(input: &[f32], scale: f32, zero: T) {
    let affine = Affine::of(scale, zero);
    let four_bits = Affine { min: -8, max: 7, ..Affine::of(scale, 3i8) };
    let mut results = kernels().iter().map(|kernel| {
        let (mut q, mut x, mut y) =
            (vec![T::default(); input.len()], vec![0.0; input.len()], vec![0.0; input.len()]);
        kernel.quantize(affine, input, &mut q);
        kernel.dequantize(affine, &q, &mut x);
        kernel.fake_quantize(affine, input, &mut y);
        assert_eq!(bits(&x), bits(&y), "{}: fake quantization is both in one", kernel.name);
        kernel.fake_quantize(four_bits, input, &mut x);
        (kernel.name, q, bits(&y), bits(&x))
    });
    let expected = results.next_back().unwrap();
    for found in results {
        assert_eq!(found.1, expected.1, "{}", found.0);
        assert_eq!(found.2, expected.2, "{}", found.0);
        assert_eq!(found.3, expected.3, "{}", found.0);
    }
}

/// Bit patterns, with one pattern for all NaN.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

#[test]
fn quantization_rounds_half_to_even_and_saturates() {
    let mut q = [0i8; 9];
    let input = [0.5, 1.5, -0.5, -2.5, 1e9, f32::NEG_INFINITY, f32::INFINITY, f32::NAN, 3.0];
    quantize(Affine::of(1.0, 1i8), &input, &mut q);
    assert_eq!(q, [1, 3, 1, -1, 127, -128, 127, 1, 4]);
}

#[test]
fn long_slices_do_not_depend_on_the_number_of_threads() {
    let input = Random::new(1).floats(1 << 20);
    let (mut whole, mut parts) = (vec![0u8; input.len()], vec![0u8; input.len()]);
    let affine = Affine::of(0.01, 128u8);
    quantize(affine, &input, &mut whole);
    input
        .chunks(1000)
        .zip(parts.chunks_mut(1000))
        .for_each(|(input, output)| quantize(affine, input, output));
    assert!(whole == parts);
}

#[test]
fn each_slice_of_an_axis_has_its_own_parameters() {
    let affines = [Affine::of(1.0, 0i8), Affine::of(2.0, 0i8)];
    let mut q = [0i8; 8];
    per_axis(&affines, 2, &[4.0f32; 8], &mut q, quantize);
    assert_eq!(q, [4, 4, 2, 2, 4, 4, 2, 2]);
}
