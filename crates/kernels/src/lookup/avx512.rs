//! Lookup with AVX-512 VBMI: the table is four vectors, of which an instruction reads two.

#![allow(unsafe_code, reason = "512-bit loads and stores through pointers, after run-time detection")]

use std::arch::x86_64::*;

use super::{Kernel, Table, look_up};
use crate::isa::{Row, allows};

/// The kernel, if this machine can run it.
pub(super) fn kernel() -> Option<Kernel> {
    let is_available = allows(Row::Avx512)
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi");
    is_available.then_some(Kernel { name: "avx512vbmi", run })
}

fn run(table: &Table, input: &[u8], output: &mut [u8]) {
    // SAFETY: `run` is reachable only through `kernel`, which has detected the instructions.
    unsafe { look_up_vectors(table, input, output) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn look_up_vectors(table: &Table, input: &[u8], output: &mut [u8]) {
    let (quarters, _) = table.as_chunks::<64>();
    // SAFETY: each quarter has 64 bytes.
    let quarter = |i: usize| unsafe { _mm512_loadu_si512(quarters[i].as_ptr().cast()) };
    let [a, b, c, d] = [quarter(0), quarter(1), quarter(2), quarter(3)];
    let ((vectors, rest), (to_vectors, to_rest)) = (input.as_chunks::<64>(), output.as_chunks_mut::<64>());
    for (from, to) in vectors.iter().zip(to_vectors) {
        // SAFETY: the arrays have 64 bytes each.
        unsafe {
            let bytes = _mm512_loadu_si512(from.as_ptr().cast());
            let low = _mm512_permutex2var_epi8(a, bytes, b);
            let high = _mm512_permutex2var_epi8(c, bytes, d);
            let found = _mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes), low, high);
            _mm512_storeu_si512(to.as_mut_ptr().cast(), found);
        }
    }
    look_up(table, rest, to_rest);
}
