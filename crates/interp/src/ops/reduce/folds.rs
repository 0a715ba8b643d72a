//! The accumulators of reductions. Floats are summed in f64, integers in their own type, with wrapping.

use crate::number::Number;
use intact8_ir::{bf16, f16};

/// A reduction of many numbers to one.
pub(super) trait Fold<T: Number> {
    /// The accumulator.
    type Total: Copy;
    /// The accumulator of no elements.
    const NOTHING: Self::Total;
    /// The accumulator with one more element.
    fn with(total: Self::Total, x: T) -> Self::Total;
    /// The accumulator of the elements of both.
    fn both(a: Self::Total, b: Self::Total) -> Self::Total;
    /// The result for `n` elements.
    fn result(total: Self::Total, n: usize) -> T;
}

/// Folds adjacent elements, in independent parts for instruction-level parallelism.
pub(super) fn row<T: Number, F: Fold<T>>(row: &[T]) -> F::Total {
    const LANES: usize = 16;
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut total = F::NOTHING;
    if !chunks.is_empty() {
        let mut lanes = [F::NOTHING; LANES];
        for chunk in chunks {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane = F::with(*lane, x);
            }
        }
        total = lanes.into_iter().fold(total, F::both);
    }
    rest.iter().fold(total, |total, &x| F::with(total, x))
}

/// An element that can be summed.
pub(super) trait Summand: Number {
    /// The type of the sum.
    type Sum: Number;
    fn widen(self) -> Self::Sum;
    fn narrow(sum: Self::Sum) -> Self;
}

macro_rules! summands {
    (in f64: $($ty:ty),*) => {
        $(impl Summand for $ty {
            type Sum = f64;
            fn widen(self) -> f64 { self.to_f64() }
            fn narrow(sum: f64) -> Self { Self::from_f64(sum) }
        })*
    };
    ($($ty:ty),*) => {
        $(impl Summand for $ty {
            type Sum = Self;
            fn widen(self) -> Self { self }
            fn narrow(sum: Self) -> Self { sum }
        })*
    };
}

summands! { in f64: f32, f64, f16, bf16 }
summands! { i32, u32, i64, u64 }

macro_rules! sums {
    ($($(#[$doc:meta])* $name:ident: $nothing:ident, |$total:ident, $x:ident| $with:expr, $both:ident,
        |$sum:ident, $n:pat_param| $result:expr;)*) => {
        $($(#[$doc])*
        pub(super) struct $name;

        impl<T: Summand> Fold<T> for $name {
            type Total = T::Sum;
            const NOTHING: T::Sum = T::Sum::$nothing;
            fn with($total: T::Sum, x: T) -> T::Sum {
                let $x = x.widen();
                $with
            }
            fn both(a: T::Sum, b: T::Sum) -> T::Sum { a.$both(b) }
            fn result($sum: T::Sum, $n: usize) -> T { $result }
        })*
    };
}

sums! {
    /// `Σ |x|`
    L1: ZERO, |total, x| if x < T::Sum::ZERO { total.sub(x) } else { total.add(x) }, add, |sum, _| T::narrow(sum);
    /// `√Σ x²`
    L2: ZERO, |total, x| total.add(x.mul(x)), add, |sum, _| T::from_f64(sum.to_f64().sqrt());
    /// `log Σ x`
    LogSum: ZERO, |total, x| total.add(x), add, |sum, _| T::from_f64(sum.to_f64().ln());
    /// `Σ x / n`
    Mean: ZERO, |total, x| total.add(x), add, |sum, n| T::narrow(sum.div(T::Sum::from_f64(n as f64)));
    /// `Π x`
    Prod: ONE, |total, x| total.mul(x), mul, |product, _| T::narrow(product);
    /// `Σ x`
    Sum: ZERO, |total, x| total.add(x), add, |sum, _| T::narrow(sum);
    /// `Σ x²`
    SumSquare: ZERO, |total, x| total.add(x.mul(x)), add, |sum, _| T::narrow(sum);
}

macro_rules! orders {
    ($($(#[$doc:meta])* $name:ident: $nothing:ident, $wins:tt;)*) => {
        $($(#[$doc])*
        pub(super) struct $name;

        impl<T: Number> Fold<T> for $name {
            type Total = T;
            const NOTHING: T = T::$nothing;
            fn with(total: T, x: T) -> T { if x $wins total || x.is_nan() { x } else { total } }
            fn both(a: T, b: T) -> T { Self::with(a, b) }
            fn result(total: T, _: usize) -> T { total }
        })*
    };
}

orders! {
    /// The maximum; NaN if an element is NaN.
    Max: LOWEST, >;
    /// The minimum; NaN if an element is NaN.
    Min: HIGHEST, <;
}
