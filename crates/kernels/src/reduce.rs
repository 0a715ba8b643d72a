//! Reductions of slices to numbers: range, sums, and measures of similarity.
//!
//! Sums are accumulated in f64, and their bits depend on the elements only, not on the kernel or the threads:
//! each block of the slice has sixteen partial sums, by index modulo sixteen, which are added in order,
//! and the sums of the blocks are added in order.
//! The caller loops over slices for reductions along an axis of a tensor.

mod reference;

use rayon::prelude::*;

use crate::isa::Loops;
use crate::loops::{LoopKernel, best};
use crate::parallel;

/// The number of elements of a block.
const BLOCK: usize = 1 << 15;

/// The partial sums of a block.
const LANES: usize = 16;

/// The smallest and the largest number of a slice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MinMax {
    /// The smallest number, including infinities and ignoring NaN; `+inf` if there is none. Never `-0`.
    pub min: f32,
    /// The largest number, including infinities and ignoring NaN; `-inf` if there is none. Never `-0`.
    pub max: f32,
    /// Whether the slice contains an infinity or NaN.
    pub non_finite: bool,
}

impl MinMax {
    /// The range of an empty slice.
    pub const EMPTY: MinMax = MinMax { min: f32::INFINITY, max: f32::NEG_INFINITY, non_finite: false };

    /// The range of both slices together.
    pub fn union(self, other: MinMax) -> MinMax {
        MinMax {
            min: if other.min < self.min { other.min } else { self.min },
            max: if other.max > self.max { other.max } else { self.max },
            non_finite: self.non_finite | other.non_finite,
        }
    }
}

/// The smallest and largest number, with the best kernel.
pub fn min_max(values: &[f32]) -> MinMax {
    best().min_max(values)
}

/// The sum, with the best kernel.
pub fn sum(values: &[f32]) -> f64 {
    best().sum(values)
}

/// The sum of squares, with the best kernel.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    best().sum_of_squares(values)
}

/// The scalar product, with the best kernel.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    best().dot(a, b)
}

/// The sum of squared differences, with the best kernel.
pub fn squared_error(a: &[f32], b: &[f32]) -> f64 {
    best().squared_error(a, b)
}

/// The cosine of the angle between two vectors, in `[-1, 1]`: 1 if both are zero, 0 if one is.
///
/// # Panics
/// If the slices differ in length.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let (norm_a, norm_b) = (sum_of_squares(a).sqrt(), sum_of_squares(b).sqrt());
    match (norm_a == 0.0, norm_b == 0.0) {
        (true, true) => 1.0,
        (true, false) | (false, true) => 0.0,
        (false, false) => dot(a, b) / (norm_a * norm_b),
    }
}

impl LoopKernel {
    /// The smallest and largest number.
    pub fn min_max(&self, values: &[f32]) -> MinMax {
        let blocks = self.blocks(values, values, |values, _| match self.isa {
            Some(isa) => isa.run(FindMinMax { values }),
            None => reference::min_max(values),
        });
        let total = blocks.into_iter().fold(MinMax::EMPTY, MinMax::union);
        // Adding 0 converts -0 to +0, so that the bits do not depend on the order of the two.
        MinMax { min: total.min + 0.0, max: total.max + 0.0, ..total }
    }

    /// The sum.
    pub fn sum(&self, values: &[f32]) -> f64 {
        self.total(Sum, values, values)
    }

    /// The sum of squares.
    pub fn sum_of_squares(&self, values: &[f32]) -> f64 {
        self.total(ProductTerm, values, values)
    }

    /// The scalar product.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn dot(&self, a: &[f32], b: &[f32]) -> f64 {
        self.total(ProductTerm, a, b)
    }

    /// The sum of squared differences.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn squared_error(&self, a: &[f32], b: &[f32]) -> f64 {
        self.total(SquaredDifference, a, b)
    }

    fn total<T: Term>(&self, term: T, a: &[f32], b: &[f32]) -> f64 {
        assert_eq!(a.len(), b.len(), "the slices differ in length");
        let totals = self.blocks(a, b, |a, b| match self.isa {
            Some(isa) => isa.run(Total { term, a, b }),
            None => reference::total(term, a, b),
        });
        totals.into_iter().fold(0.0, |total, block| total + block)
    }

    /// The results of all blocks, in order.
    fn blocks<R: Send>(&self, a: &[f32], b: &[f32], run: impl Fn(&[f32], &[f32]) -> R + Sync) -> Vec<R> {
        if parallel::is_parallel(a.len()) {
            a.par_chunks(BLOCK).zip(b.par_chunks(BLOCK)).map(|(a, b)| run(a, b)).collect()
        } else {
            a.chunks(BLOCK).zip(b.chunks(BLOCK)).map(|(a, b)| run(a, b)).collect()
        }
    }
}

/// The terms of a sum.
trait Term: Copy + Send + Sync {
    /// One term, exact except for `SquaredDifference`; `#[inline(always)]`.
    fn of(self, a: f32, b: f32) -> f64;
}

#[derive(Clone, Copy)]
struct Sum;

impl Term for Sum {
    #[inline(always)]
    fn of(self, a: f32, _b: f32) -> f64 {
        f64::from(a)
    }
}

#[derive(Clone, Copy)]
struct ProductTerm;

impl Term for ProductTerm {
    #[inline(always)]
    fn of(self, a: f32, b: f32) -> f64 {
        f64::from(a) * f64::from(b)
    }
}

#[derive(Clone, Copy)]
struct SquaredDifference;

impl Term for SquaredDifference {
    #[inline(always)]
    fn of(self, a: f32, b: f32) -> f64 {
        let difference = f64::from(a) - f64::from(b);
        difference * difference
    }
}

struct Total<'a, T> {
    term: T,
    a: &'a [f32],
    b: &'a [f32],
}

impl<T: Term> Loops for Total<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run(self, _fused: bool) -> f64 {
        let ((a, a_rest), (b, b_rest)) = (self.a.as_chunks::<LANES>(), self.b.as_chunks::<LANES>());
        let mut sums = [0.0; LANES];
        for (a, b) in a.iter().zip(b) {
            for i in 0..LANES {
                sums[i] += self.term.of(a[i], b[i]);
            }
        }
        for i in 0..a_rest.len() {
            sums[i] += self.term.of(a_rest[i], b_rest[i]);
        }
        sums.iter().fold(0.0, |total, sum| total + sum)
    }
}

struct FindMinMax<'a> {
    values: &'a [f32],
}

impl Loops for FindMinMax<'_> {
    type Output = MinMax;

    #[inline(always)]
    fn run(self, _fused: bool) -> MinMax {
        const WIDE: usize = 64;
        let (chunks, rest) = self.values.as_chunks::<WIDE>();
        let (mut min, mut max, mut non_finite) =
            ([f32::INFINITY; WIDE], [f32::NEG_INFINITY; WIDE], [0u32; WIDE]);
        for chunk in chunks {
            for i in 0..WIDE {
                min[i] = if chunk[i] < min[i] { chunk[i] } else { min[i] };
                max[i] = if chunk[i] > max[i] { chunk[i] } else { max[i] };
                non_finite[i] |= u32::from(!chunk[i].is_finite());
            }
        }
        let mut total = reference::min_max(rest);
        for i in 0..WIDE {
            total = total.union(MinMax { min: min[i], max: max[i], non_finite: non_finite[i] != 0 });
        }
        total
    }
}
