//! The most products of bytes per second that one core can compute with AVX-512 VNNI: a loop on registers.

#![allow(unsafe_code, reason = "calling a #[target_feature] function, after run-time detection")]

use std::arch::x86_64::*;
use std::hint::black_box;

/// Multiplications and additions of one round.
pub(crate) const OPERATIONS: u64 = 2 * 64 * CHAINS as u64;

/// Independent sums, more than the latency of an instruction needs.
const CHAINS: usize = 16;

/// Computes some rounds, if this machine has the instructions.
pub(crate) fn peak(rounds: usize) -> Option<i32> {
    let is_available = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
    // SAFETY: the instructions are available.
    is_available.then(|| unsafe { multiply(rounds) })
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn multiply(rounds: usize) -> i32 {
    let mut sums = [_mm512_set1_epi32(1); CHAINS];
    let (x, w) = (_mm512_set1_epi32(black_box(0x0102_0304)), _mm512_set1_epi32(black_box(0x01ff_02fe)));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, x, w);
        }
    }
    sums.into_iter().fold(0, |total, sum| total ^ _mm512_reduce_add_epi32(sum))
}
