//! Rows of values in half the memory of f32: f16 values with one power-of-two scale for each row, so that no value overflows.
//!
//! Values keep 11 bits, down to 2^-28 of the largest value of their row.

use half::f16;
use half::slice::HalfFloatSliceExt;
use std::ops::Range;

/// The largest value of a scaled row is at least this and less than twice this, which is in the range of f16.
const LARGEST: f32 = (1u32 << 14) as f32;

/// Rows of one length as scaled f16 values.
#[derive(Debug, Default)]
pub(super) struct HalfRows {
    values: Vec<f16>,
    /// The scale of each row, a power of two; a value is multiplied by it.
    scales: Vec<f32>,
}

impl HalfRows {
    pub(super) fn n_rows(&self) -> usize {
        self.scales.len()
    }

    /// Reserves memory for a number of rows of a length.
    pub(super) fn reserve(&mut self, n_rows: usize, len: usize) {
        self.values.reserve(n_rows * len);
        self.scales.reserve(n_rows);
    }

    /// Appends a row; the values of `row` are changed.
    pub(super) fn push(&mut self, row: &mut [f32]) {
        let largest = row.iter().map(|x| x.abs()).filter(|x| x.is_finite()).fold(0.0, f32::max);
        // The largest power of two that is not greater: the exponent alone.
        let power = f32::from_bits(largest.to_bits() & f32::INFINITY.to_bits());
        let scale = (power / LARGEST).max(f32::MIN_POSITIVE);
        row.iter_mut().for_each(|x| *x /= scale);
        let start = self.values.len();
        self.values.resize(start + row.len(), f16::ZERO);
        self.values[start..].convert_from_f32_slice(row);
        self.scales.push(scale);
    }

    pub(super) fn extend(&mut self, other: &HalfRows) {
        self.values.extend_from_slice(&other.values);
        self.scales.extend_from_slice(&other.scales);
    }

    /// Every so many rows, from the first.
    pub(super) fn every(&self, step: usize) -> HalfRows {
        let n_rows = self.n_rows();
        let mut kept = HalfRows::default();
        let len = self.values.len().checked_div(n_rows).unwrap_or(0);
        kept.reserve(n_rows.div_ceil(step), len);
        for row in (0..n_rows).step_by(step) {
            kept.values.extend_from_slice(&self.values[row * len..][..len]);
            kept.scales.push(self.scales[row]);
        }
        kept
    }

    /// A block of some rows and columns, row-major.
    pub(super) fn block(&self, rows: Range<usize>, columns: Range<usize>) -> Vec<f32> {
        let n_rows = self.n_rows();
        if n_rows == 0 || columns.is_empty() {
            return Vec::new();
        }
        let len = self.values.len() / n_rows;
        let mut block = vec![0.0; rows.len() * columns.len()];
        for (row, into) in rows.zip(block.chunks_exact_mut(columns.len())) {
            self.values[row * len..][columns.clone()].convert_to_f32_slice(into);
            into.iter_mut().for_each(|x| *x *= self.scales[row]);
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The error is at most half a unit of 11 bits, or of the smallest f16 step for values that are tiny relative to the largest.
        #[test]
        fn values_keep_eleven_bits(
            rows in prop::collection::vec(prop::array::uniform3((-1.0f32..1.0, -120i32..120)), 1..5),
        ) {
            let rows: Vec<[f32; 3]> = rows.iter().map(|row| row.map(|(x, power)| x * 2f32.powi(power))).collect();
            let mut half_rows = HalfRows::default();
            rows.iter().for_each(|row| half_rows.push(&mut row.clone()));
            let found = half_rows.block(0..rows.len(), 0..3);
            for (row, found) in rows.iter().zip(found.chunks_exact(3)) {
                let largest = row.iter().fold(0f32, |largest, x| largest.max(x.abs()));
                for (x, found) in row.iter().zip(found) {
                    let bound = (x.abs() * 2f32.powi(-11)).max(largest * 2f32.powi(-38)).max(f32::MIN_POSITIVE);
                    prop_assert!((x - found).abs() <= bound, "{x} is stored as {found}");
                }
            }
        }
    }

    #[test]
    fn a_block_has_some_rows_and_columns() {
        let mut half_rows = HalfRows::default();
        for row in [[1.0, 65536.0 * 2.0 - 64.0, -0.0], [4e-39, 5.0, f32::INFINITY], [0.0, f32::MAX, 3.0]] {
            half_rows.push(&mut row.clone());
        }
        let mut other = HalfRows::default();
        other.reserve(6, 3);
        other.extend(&half_rows);
        other.extend(&half_rows);
        assert_eq!(other.n_rows(), 6);
        // The rows 0 and 4 of six.
        assert_eq!(other.every(4).block(0..2, 0..2), [[1.0, 131_008.0], [0.0, 5.0]].concat());
        assert_eq!(other.block(1..4, 0..1), [0.0, 0.0, 1.0]);
        assert_eq!(other.block(3..5, 1..3), [131_008.0, -0.0, 5.0, f32::INFINITY]);
        assert!(other.block(2..3, 1..2)[0] > 0.999 * f32::MAX);
        assert!(HalfRows::default().block(0..0, 0..2).is_empty() && other.block(0..6, 2..2).is_empty());
    }
}
