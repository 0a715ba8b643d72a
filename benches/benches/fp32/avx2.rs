//! The peak of AVX2 with FMA: multiply-adds of registers only.

#![allow(unsafe_code, reason = "calling a #[target_feature] function, after run-time detection")]

use std::arch::x86_64::*;
use std::hint::black_box;

/// Independent chains: more than the latency times the throughput of a multiply-add.
const CHAINS: usize = 12;

/// The floating-point operations of `rounds` rounds, which have then been computed; none without AVX2 and FMA.
pub(crate) fn multiply_adds(rounds: usize) -> Option<usize> {
    if !is_x86_feature_detected!("avx2") || !is_x86_feature_detected!("fma") {
        return None;
    }
    // SAFETY: AVX2 and FMA are detected.
    black_box(unsafe { chains(rounds) });
    Some(rounds * CHAINS * 8 * 2)
}

#[target_feature(enable = "avx2,fma")]
fn chains(rounds: usize) -> f32 {
    let (a, b) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(black_box(1e-3)));
    let mut sums = [_mm256_set1_ps(1.0); CHAINS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, a, b);
        }
    }
    _mm256_cvtss_f32(sums.into_iter().fold(_mm256_setzero_ps(), |total, sum| _mm256_add_ps(total, sum)))
}
