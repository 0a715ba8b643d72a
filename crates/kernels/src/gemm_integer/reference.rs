//! The reference of the integer matrix product.

use super::{ByteMatrix, PackedRight, ZeroPoints};

/// `rows = Σ (a - a_zero) · (b - b_zero)`, one element at a time.
pub(super) fn gemm(
    a: ByteMatrix<'_>,
    a_zero: ZeroPoints<'_>,
    b: &PackedRight,
    b_zero: ZeroPoints<'_>,
    rows: &mut [&mut [i32]],
) {
    for (i, row) in rows.iter_mut().enumerate() {
        for (j, c) in row.iter_mut().enumerate() {
            *c = (0..b.depth).fold(0i32, |sum, p| {
                let (a, b) = (a.at(i, p).wrapping_sub(a_zero.at(i)), b.at(p, j).wrapping_sub(b_zero.at(j)));
                sum.wrapping_add(a.wrapping_mul(b))
            });
        }
    }
}
