//! What a product is, in the order that every kernel keeps.

use super::{Init, Left, Right};

/// `rows = init + a·b`, one element at a time.
pub(super) fn gemm(a: Left<'_>, b: Right<'_>, init: Init<'_>, rows: &mut [&mut [f32]]) {
    for (i, row) in rows.iter_mut().enumerate() {
        for (j, c) in row.iter_mut().enumerate() {
            let mut sum = match init {
                Init::Zero => 0.0,
                Init::Accumulate => *c,
                Init::Rows(values) => values[i],
                Init::Columns(values) => values[j],
            };
            for p in 0..a.depth() {
                sum = a.at(i, p).mul_add(b.at(p, j), sum);
            }
            *c = sum;
        }
    }
}

impl Left<'_> {
    fn at(&self, row: usize, p: usize) -> f32 {
        match self {
            Left::Plain(matrix) => matrix.at(row, p),
            Left::Packed(packed) => packed.at(row, p),
        }
    }
}

impl Right<'_> {
    fn at(&self, p: usize, column: usize) -> f32 {
        match self {
            Right::Plain(matrix) => matrix.at(p, column),
            Right::Packed(packed) => packed.at(p, column),
        }
    }
}
