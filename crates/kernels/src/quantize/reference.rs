//! The reference of quantization: the formulas, one element at a time.

use super::{Affine, Integer, ProductScaling, Quantized};

pub(super) fn quantize<T: Quantized>(affine: Affine, input: &[f32], output: &mut [T]) {
    for (x, q) in input.iter().zip(output) {
        *q = T::from_i32(quantize_one(affine, *x));
    }
}

pub(super) fn dequantize<T: Integer>(affine: Affine, input: &[T], output: &mut [f32]) {
    for (q, x) in input.iter().zip(output) {
        *x = dequantize_one(affine, q.to_i32());
    }
}

pub(super) fn fake_quantize(affine: Affine, input: &[f32], output: &mut [f32]) {
    for (x, y) in input.iter().zip(output) {
        *y = dequantize_one(affine, quantize_one(affine, *x));
    }
}

pub(super) fn requantize<T: Quantized, S>(
    affine: Affine,
    scaled: impl Fn(S) -> f32,
    sums: impl Iterator<Item = S>,
    output: &mut [T],
) {
    for (sum, q) in sums.zip(output) {
        *q = T::from_i32(quantize_one(affine, scaled(sum)));
    }
}

pub(super) fn add_bytes<T: Quantized>(
    [of_a, of_b]: [f32; 2],
    rest: f32,
    range: [T; 2],
    a: &[T],
    b: &[T],
    output: &mut [T],
) {
    let [min, max] = range.map(T::to_i32);
    let affine = Affine { scale: 1.0, zero_point: 0, min, max };
    for ((a, b), q) in a.iter().zip(b).zip(output) {
        let (a, b) = (a.to_i32() as f32, b.to_i32() as f32);
        *q = T::from_i32(quantize_one(affine, a.mul_add(of_a, b.mul_add(of_b, rest))));
    }
}

pub(super) fn mul_bytes<T: Quantized>(scaling: ProductScaling<T>, a: &[T], b: &[T], output: &mut [T]) {
    let [a_zero, b_zero] = scaling.zeros.map(T::to_i32);
    for ((a, b), q) in a.iter().zip(b.iter().cycle()).zip(output) {
        let product = (a.to_i32() - a_zero) * (b.to_i32() - b_zero);
        let affine = Affine::of(1.0, scaling.zero_point);
        *q = T::from_i32(quantize_one(affine, product as f32 * scaling.factor));
    }
}

fn quantize_one(affine: Affine, x: f32) -> i32 {
    // The cast saturates and converts NaN to 0.
    let steps = (x / affine.scale).round_ties_even() as i64;
    (steps.saturating_add(affine.zero_point.into())).clamp(affine.min.into(), affine.max.into()) as i32
}

fn dequantize_one(affine: Affine, q: i32) -> f32 {
    q.wrapping_sub(affine.zero_point) as f32 * affine.scale
}
