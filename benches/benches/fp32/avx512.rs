//! The peak of AVX-512: multiply-adds of registers only.

#![allow(unsafe_code, reason = "calling a #[target_feature] function, after run-time detection")]

use std::arch::x86_64::*;
use std::hint::black_box;

/// Independent chains: more than the latency times the throughput of a multiply-add.
const CHAINS: usize = 16;

/// The floating-point operations of `rounds` rounds, which have then been computed; none without AVX-512.
pub(crate) fn multiply_adds(rounds: usize) -> Option<usize> {
    if !is_x86_feature_detected!("avx512f") {
        return None;
    }
    // SAFETY: AVX-512 is detected.
    black_box(unsafe { chains(rounds) });
    Some(rounds * CHAINS * 16 * 2)
}

#[target_feature(enable = "avx512f")]
fn chains(rounds: usize) -> f32 {
    let (a, b) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(black_box(1e-3)));
    let mut sums = [_mm512_set1_ps(1.0); CHAINS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, a, b);
        }
    }
    _mm512_reduce_add_ps(sums.into_iter().fold(_mm512_setzero_ps(), |total, sum| _mm512_add_ps(total, sum)))
}
