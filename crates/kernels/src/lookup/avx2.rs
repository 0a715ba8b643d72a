//! Lookup with AVX2: the table is sixteen parts of sixteen bytes, and the upper half of a byte selects the part.

#![allow(unsafe_code, reason = "256-bit loads and stores through pointers, after run-time detection")]

use std::arch::x86_64::*;

use super::{Kernel, Table, look_up};
use crate::isa::{Row, allows};

/// The kernel, if this machine can run it.
pub(super) fn kernel() -> Option<Kernel> {
    (allows(Row::Avx2) && is_x86_feature_detected!("avx2")).then_some(Kernel { name: "avx2", run })
}

fn run(table: &Table, input: &[u8], output: &mut [u8]) {
    // SAFETY: `run` is reachable only through `kernel`, which has detected AVX2.
    unsafe { look_up_vectors(table, input, output) }
}

#[target_feature(enable = "avx2")]
fn look_up_vectors(table: &Table, input: &[u8], output: &mut [u8]) {
    let (parts, _) = table.as_chunks::<16>();
    // SAFETY: each part has 16 bytes.
    let part = |i: usize| unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(parts[i].as_ptr().cast())) };
    let ((vectors, rest), (to_vectors, to_rest)) = (input.as_chunks::<32>(), output.as_chunks_mut::<32>());
    for (from, to) in vectors.iter().zip(to_vectors) {
        // SAFETY: the array has 32 bytes.
        let bytes = unsafe { _mm256_loadu_si256(from.as_ptr().cast()) };
        let low = _mm256_and_si256(bytes, _mm256_set1_epi8(0x0f));
        let high = _mm256_and_si256(bytes, _mm256_set1_epi8(-16));
        let mut found = _mm256_setzero_si256();
        for i in 0..16 {
            let is_here = _mm256_cmpeq_epi8(high, _mm256_set1_epi8((i << 4) as u8 as i8));
            let of_part = _mm256_shuffle_epi8(part(i), low);
            found = _mm256_or_si256(found, _mm256_and_si256(of_part, is_here));
        }
        // SAFETY: the array has 32 bytes.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), found) };
    }
    look_up(table, rest, to_rest);
}
