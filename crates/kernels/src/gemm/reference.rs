//! The reference of the fp32 matrix product: it defines the order of additions for every kernel.

use super::{Init, Left, Right, depth_blocks};

/// `rows = init + a·b`, one element at a time.
pub(super) fn gemm(a: Left<'_>, b: Right<'_>, init: Init<'_>, rows: &mut [&mut [f32]]) {
    for (i, row) in rows.iter_mut().enumerate() {
        for (j, c) in row.iter_mut().enumerate() {
            let start = match init {
                Init::Zero => 0.0,
                Init::Accumulate => *c,
                Init::Rows(values) => values[i],
                Init::Columns(values) => values[j],
            };
            let continues = matches!(init, Init::Accumulate);
            *c = sum(a.depth(), start, continues, |p, sum| a.at(i, p).mul_add(b.at(p, j), sum));
        }
    }
}

/// The initial value plus `depth` products, in the order of every kernel: `add(p, sum)` adds product `p`. The first
/// chain starts from the initial value, unless that `continues` an earlier sum.
pub(crate) fn sum(depth: usize, start: f32, continues: bool, add: impl Fn(usize, f32) -> f32) -> f32 {
    let mut total = start;
    for stretch in depth_blocks(depth) {
        let starts_chain = stretch.start == 0 && !continues;
        let sum = stretch.fold(if starts_chain { start } else { 0.0 }, |sum, p| add(p, sum));
        total = if starts_chain { sum } else { total + sum };
    }
    total
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
