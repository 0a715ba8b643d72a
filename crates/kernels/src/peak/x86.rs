//! The loops for the instruction sets of x86.

#![allow(unsafe_code, reason = "calling a #[target_feature] function, after run-time detection")]

use std::arch::x86_64::*;
use std::hint::black_box;

use super::PeakLoop;

/// The number of sums: enough that no addition waits for the one before.
const SUMS: usize = 12;

/// The number of products that are added to each sum in a round.
const DEPTH: usize = 8;

/// The loops of fp32 that this processor can run, best first.
pub(super) fn fp32() -> Vec<PeakLoop> {
    let rows = [
        (is_x86_feature_detected!("avx512f"), row("vfmadd of 512 bits", 16, fma_512)),
        (is_x86_feature_detected!("fma"), row("vfmadd of 256 bits", 8, fma_256)),
    ];
    available(rows)
}

/// The loops of bytes that this processor can run, best first.
pub(super) fn int8() -> Vec<PeakLoop> {
    let has_512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
    let has_256 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni");
    let rows = [
        (has_512, row("vpdpbusd of 512 bits", 64, vnni_512)),
        (has_256, row("vpdpbusd of 256 bits", 32, vnni_256)),
        (is_x86_feature_detected!("avx2"), row("vpmaddwd of 256 bits", 16, madd_256)),
    ];
    available(rows)
}

/// The row of an instruction that adds so many products.
fn row(name: &'static str, n_products: usize, run: fn(usize) -> f64) -> PeakLoop {
    PeakLoop { name, operations: 2 * n_products * SUMS * DEPTH, run }
}

fn available<const N: usize>(rows: [(bool, PeakLoop); N]) -> Vec<PeakLoop> {
    rows.into_iter().filter_map(|(is_available, row)| is_available.then_some(row)).collect()
}

/// A loop for vectors of the type `$vector` with `$lanes` of the type `$lane`. Every round multiplies the same factors; the compiler
/// does not know that. The left factors `$left` are equal too, and where product and sum are two instructions the compiler must not
/// know that either: it would compute equal products once.
macro_rules! peak_loop {
    ($name:ident, $features:literal, $vector:ty, [$lane:ty; $lanes:literal], $factor:expr, $left:expr, $multiply_add:expr) => {
        fn $name(rounds: usize) -> f64 {
            #[target_feature(enable = $features)]
            fn run(rounds: usize) -> f64 {
                let (left, right): ([$vector; SUMS], _) = ($left, [$factor; DEPTH]);
                // SAFETY: all bits zero are numbers.
                let mut sums: [$vector; SUMS] = unsafe { std::mem::zeroed() };
                for _ in 0..rounds {
                    for right in black_box(&right) {
                        for (sum, left) in sums.iter_mut().zip(left) {
                            *sum = $multiply_add(*sum, left, *right);
                        }
                    }
                }
                let lanes = |sum: $vector| -> [$lane; $lanes] {
                    // SAFETY: the vector has so many lanes, and every bit pattern is a number.
                    unsafe { std::mem::transmute(sum) }
                };
                sums.into_iter().flat_map(lanes).map(f64::from).sum()
            }
            // SAFETY: the function is in a row only if the processor has these features.
            unsafe { run(rounds) }
        }
    };
}

peak_loop!(
    fma_512,
    "avx512f",
    __m512,
    [f32; 16],
    _mm512_set1_ps(1.0),
    [black_box(_mm512_set1_ps(1.0)); SUMS],
    |sum, a, b| _mm512_fmadd_ps(a, b, sum)
);
peak_loop!(
    fma_256,
    "avx,fma",
    __m256,
    [f32; 8],
    _mm256_set1_ps(1.0),
    [black_box(_mm256_set1_ps(1.0)); SUMS],
    |sum, a, b| _mm256_fmadd_ps(a, b, sum)
);
peak_loop!(
    vnni_512,
    "avx512f,avx512vnni",
    __m512i,
    [i32; 16],
    _mm512_set1_epi8(1),
    [black_box(_mm512_set1_epi8(1)); SUMS],
    |sum, a, b| _mm512_dpbusd_epi32(sum, a, b)
);
peak_loop!(
    vnni_256,
    "avx2,avxvnni",
    __m256i,
    [i32; 8],
    _mm256_set1_epi8(1),
    [black_box(_mm256_set1_epi8(1)); SUMS],
    |sum, a, b| _mm256_dpbusd_avx_epi32(sum, a, b)
);
peak_loop!(
    madd_256,
    "avx2",
    __m256i,
    [i32; 8],
    _mm256_set1_epi16(1),
    black_box([_mm256_set1_epi16(1); SUMS]),
    |sum, a, b| _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
);
