//! Mean and variance, in f64.

use crate::number::Number;

/// The sum of `f` over numbers, in independent parts for instruction-level parallelism.
pub(super) fn sum<T: Number>(values: &[T], f: impl Fn(f64) -> f64) -> f64 {
    const LANES: usize = 8;
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += f(x.to_f64());
        }
    }
    sums.into_iter().chain(rest.iter().map(|x| f(x.to_f64()))).sum()
}

/// Mean and variance of several slices together.
pub(super) fn moments<'a, T: Number>(slices: impl Iterator<Item = &'a [T]> + Clone) -> (f64, f64) {
    let n = slices.clone().map(<[T]>::len).sum::<usize>() as f64;
    let mean = slices.clone().map(|slice| sum(slice, |x| x)).sum::<f64>() / n;
    let variance = slices.map(|slice| sum(slice, |x| (x - mean) * (x - mean))).sum::<f64>() / n;
    (mean, variance)
}
