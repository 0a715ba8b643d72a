//! Conversions to and from the blocked layout: 16 × 16 transposes in registers.

#![allow(unsafe_code, reason = "masked 512-bit loads and stores through pointers, after run-time detection")]

use std::arch::x86_64::*;

use super::{BLOCK, Rows};

/// `blocked[j][i] = plain[i * stride + j]`, and 0 beyond the rows.
///
/// # Panics
/// If the processor lacks AVX-512, or a slice is too short.
pub(super) fn interleave(rows: Rows, plain: &[f32], blocked: &mut [[f32; BLOCK]]) {
    assert!(is_x86_feature_detected!("avx512f"), "chosen by its instruction set");
    rows.check(plain.len(), blocked.len());
    // SAFETY: AVX-512 is detected, and the rows lie within both slices.
    unsafe { interleave_rows(rows, plain.as_ptr(), blocked.as_mut_ptr().cast()) };
}

/// `plain[i * stride + j] = blocked[j][i]`.
///
/// # Panics
/// If the processor lacks AVX-512, or a slice is too short.
pub(super) fn separate(rows: Rows, blocked: &[[f32; BLOCK]], plain: &mut [f32]) {
    assert!(is_x86_feature_detected!("avx512f"), "chosen by its instruction set");
    rows.check(plain.len(), blocked.len());
    // SAFETY: AVX-512 is detected, and the rows lie within both slices.
    unsafe { separate_rows(rows, blocked.as_ptr().cast(), plain.as_mut_ptr()) };
}

impl Rows {
    fn check(self, plain_len: usize, blocks: usize) {
        let last = (self.height - 1).checked_mul(self.stride).and_then(|last| last.checked_add(self.len));
        assert!(last.is_some_and(|end| end <= plain_len), "the plain tensor is too short");
        assert!(self.height <= BLOCK && self.len <= blocks, "the blocked tensor is too short");
    }
}

/// # Safety
/// Both pointers reach over all rows.
#[target_feature(enable = "avx512f")]
unsafe fn interleave_rows(rows: Rows, plain: *const f32, blocked: *mut f32) {
    for first in (0..rows.len).step_by(BLOCK) {
        let width = (rows.len - first).min(BLOCK);
        let mask = ((1u32 << width) - 1) as __mmask16;
        let mut square = [_mm512_setzero_ps(); BLOCK];
        for (i, row) in square.iter_mut().enumerate().take(rows.height) {
            // SAFETY: the mask selects elements of the row.
            *row = unsafe { _mm512_maskz_loadu_ps(mask, plain.add(i * rows.stride + first)) };
        }
        let square = transposed(square);
        for (j, block) in square.iter().enumerate().take(width) {
            // SAFETY: there are `len` blocks.
            unsafe { _mm512_storeu_ps(blocked.add((first + j) * BLOCK), *block) };
        }
    }
}

/// # Safety
/// Both pointers reach over all rows.
#[target_feature(enable = "avx512f")]
unsafe fn separate_rows(rows: Rows, blocked: *const f32, plain: *mut f32) {
    for first in (0..rows.len).step_by(BLOCK) {
        let width = (rows.len - first).min(BLOCK);
        let mask = ((1u32 << width) - 1) as __mmask16;
        let mut square = [_mm512_setzero_ps(); BLOCK];
        for (j, block) in square.iter_mut().enumerate().take(width) {
            // SAFETY: there are `len` blocks.
            *block = unsafe { _mm512_loadu_ps(blocked.add((first + j) * BLOCK)) };
        }
        let square = transposed(square);
        for (i, row) in square.iter().enumerate().take(rows.height) {
            // SAFETY: the mask selects elements of the row.
            unsafe { _mm512_mask_storeu_ps(plain.add(i * rows.stride + first), mask, *row) };
        }
    }
}

/// Exchanges rows and columns: pairs, then pairs of pairs, then quarters of vectors.
#[target_feature(enable = "avx512f")]
#[inline]
fn transposed(rows: [__m512; BLOCK]) -> [__m512; BLOCK] {
    let mut pairs = rows;
    for i in (0..BLOCK).step_by(2) {
        pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    let pair = |a: __m512, b: __m512| (_mm512_castps_pd(a), _mm512_castps_pd(b));
    // `fours[4 q + r]` has column `r` of each quarter of rows `4 q` to `4 q + 3`.
    let mut fours = rows;
    for i in (0..BLOCK).step_by(4) {
        let (a, b) = pair(pairs[i], pairs[i + 2]);
        fours[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        fours[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        let (a, b) = pair(pairs[i + 1], pairs[i + 3]);
        fours[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        fours[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
    let mut columns = rows;
    for r in 0..4 {
        let even = _mm512_shuffle_f32x4::<0b10_00_10_00>(fours[r], fours[4 + r]);
        let odd = _mm512_shuffle_f32x4::<0b11_01_11_01>(fours[r], fours[4 + r]);
        let even_below = _mm512_shuffle_f32x4::<0b10_00_10_00>(fours[8 + r], fours[12 + r]);
        let odd_below = _mm512_shuffle_f32x4::<0b11_01_11_01>(fours[8 + r], fours[12 + r]);
        columns[r] = _mm512_shuffle_f32x4::<0b10_00_10_00>(even, even_below);
        columns[4 + r] = _mm512_shuffle_f32x4::<0b10_00_10_00>(odd, odd_below);
        columns[8 + r] = _mm512_shuffle_f32x4::<0b11_01_11_01>(even, even_below);
        columns[12 + r] = _mm512_shuffle_f32x4::<0b11_01_11_01>(odd, odd_below);
    }
    columns
}
