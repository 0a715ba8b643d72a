//! Steps of the products of bytes that several tiles of AArch64 share.

#![allow(unsafe_code, reason = "an instruction without a stable function")]

use std::arch::aarch64::*;
use std::arch::asm;

/// Adds to each sum four products of signed bytes.
#[target_feature(enable = "neon,dotprod")]
#[inline]
pub(crate) fn sdot(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut total = sum;
    // SAFETY: the instruction reads and writes only these registers, and this function is compiled for processors that
    // have it.
    unsafe {
        asm!(
            "sdot {total:v}.4s, {a:v}.16b, {b:v}.16b",
            total = inout(vreg) total,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    total
}

/// Adds to the sums of 16 columns the products of two numbers, the first lanes of `pair`, by the two of each column.
#[target_feature(enable = "neon")]
#[inline]
pub(crate) fn add_pair(sums: &mut [int32x4_t; 4], pair: int16x4_t, columns: [int16x8x2_t; 2]) {
    for (sums, int16x8x2_t(even, odd)) in sums.as_chunks_mut::<2>().0.iter_mut().zip(columns) {
        let [low, high] = sums;
        *low = vmlal_lane_s16::<0>(*low, vget_low_s16(even), pair);
        *high = vmlal_high_lane_s16::<0>(*high, even, pair);
        *low = vmlal_lane_s16::<1>(*low, vget_low_s16(odd), pair);
        *high = vmlal_high_lane_s16::<1>(*high, odd, pair);
    }
}
