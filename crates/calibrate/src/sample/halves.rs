//! Rows of numbers in half the memory: 16-bit floats, each row times a power of two so that none is too large.
//!
//! Numbers keep 11 bits, down to 2^-28 of the largest of their row.

use half::f16;
use half::slice::HalfFloatSliceExt;
use std::ops::Range;

/// The largest number of a row lies between this and twice as much, which f16 just has.
const LARGEST: f32 = (1u32 << 14) as f32;

/// Rows of one length.
#[derive(Debug, Default)]
pub(super) struct Halves {
    values: Vec<f16>,
    /// What each row is multiplied with, a power of two.
    scales: Vec<f32>,
}

impl Halves {
    pub(super) fn n_rows(&self) -> usize {
        self.scales.len()
    }

    /// Makes room for so many rows.
    pub(super) fn reserve(&mut self, n_rows: usize, len: usize) {
        self.values.reserve(n_rows * len);
        self.scales.reserve(n_rows);
    }

    /// Puts a row behind; `row` is not the same afterwards.
    pub(super) fn push(&mut self, row: &mut [f32]) {
        let largest = row.iter().map(|x| x.abs()).filter(|x| x.is_finite()).fold(0.0, f32::max);
        // The power of two below it: its exponent alone.
        let power = f32::from_bits(largest.to_bits() & f32::INFINITY.to_bits());
        let scale = (power / LARGEST).max(f32::MIN_POSITIVE);
        row.iter_mut().for_each(|x| *x /= scale);
        let start = self.values.len();
        self.values.resize(start + row.len(), f16::ZERO);
        self.values[start..].convert_from_f32_slice(row);
        self.scales.push(scale);
    }

    pub(super) fn extend(&mut self, other: &Halves) {
        self.values.extend_from_slice(&other.values);
        self.scales.extend_from_slice(&other.scales);
    }

    /// Some columns of some rows, one row after the other.
    pub(super) fn part(&self, rows: Range<usize>, columns: Range<usize>) -> Vec<f32> {
        let n_rows = self.n_rows();
        if n_rows == 0 || columns.is_empty() {
            return Vec::new();
        }
        let len = self.values.len() / n_rows;
        let mut part = vec![0.0; rows.len() * columns.len()];
        for (row, into) in rows.zip(part.chunks_exact_mut(columns.len())) {
            self.values[row * len..][columns.clone()].convert_to_f32_slice(into);
            into.iter_mut().for_each(|x| *x *= self.scales[row]);
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Eleven bits of what is not tiny beside the largest, and half of the last step of what is.
        #[test]
        fn numbers_come_back(
            rows in prop::collection::vec(prop::array::uniform3((-1.0f32..1.0, -120i32..120)), 1..5),
        ) {
            let rows: Vec<[f32; 3]> = rows.iter().map(|row| row.map(|(x, power)| x * 2f32.powi(power))).collect();
            let mut halves = Halves::default();
            rows.iter().for_each(|row| halves.push(&mut row.clone()));
            let found = halves.part(0..rows.len(), 0..3);
            for (row, found) in rows.iter().zip(found.chunks_exact(3)) {
                let largest = row.iter().fold(0f32, |largest, x| largest.max(x.abs()));
                for (x, found) in row.iter().zip(found) {
                    let bound = (x.abs() * 2f32.powi(-11)).max(largest * 2f32.powi(-38)).max(f32::MIN_POSITIVE);
                    prop_assert!((x - found).abs() <= bound, "{x} came back as {found}");
                }
            }
        }
    }

    #[test]
    fn parts_are_rows_and_columns() {
        let mut halves = Halves::default();
        for row in [[1.0, 65536.0 * 2.0 - 64.0, -0.0], [4e-39, 5.0, f32::INFINITY], [0.0, f32::MAX, 3.0]] {
            halves.push(&mut row.clone());
        }
        let mut other = Halves::default();
        other.reserve(6, 3);
        other.extend(&halves);
        other.extend(&halves);
        assert_eq!(other.n_rows(), 6);
        assert_eq!(other.part(1..4, 0..1), [0.0, 0.0, 1.0]);
        assert_eq!(other.part(3..5, 1..3), [131_008.0, -0.0, 5.0, f32::INFINITY]);
        assert!(other.part(2..3, 1..2)[0] > 0.999 * f32::MAX);
        assert!(Halves::default().part(0..0, 0..2).is_empty() && other.part(0..6, 2..2).is_empty());
    }
}
