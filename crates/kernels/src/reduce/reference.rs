//! The reference of the reductions of one block: one element at a time.

use super::{LANES, MinMax, Term};

pub(super) fn min_max(values: &[f32]) -> MinMax {
    let mut total = MinMax::EMPTY;
    for value in values.iter().filter(|value| !value.is_nan()) {
        total = total.union(MinMax { min: *value, max: *value, non_finite: false });
    }
    MinMax { non_finite: values.iter().any(|value| !value.is_finite()), ..total }
}

pub(super) fn total<T: Term>(term: T, a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0; LANES];
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        sums[i % LANES] += term.of(*a, *b);
    }
    sums.iter().fold(0.0, |total, sum| total + sum)
}
