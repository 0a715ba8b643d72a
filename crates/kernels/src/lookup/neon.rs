//! Lookup with NEON: the table is four parts of 64 bytes, and an instruction finds the bytes of one of them.

#![allow(unsafe_code, reason = "128-bit loads and stores through pointers, after run-time detection")]

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::{Kernel, Table, look_up};
use crate::isa::{Row, allows};

/// The kernel, if this machine can run it.
pub(super) fn kernel() -> Option<Kernel> {
    (allows(Row::Neon) && is_aarch64_feature_detected!("neon")).then_some(Kernel { name: "neon", run })
}

fn run(table: &Table, input: &[u8], output: &mut [u8]) {
    // SAFETY: `run` is reachable only through `kernel`, which has detected NEON.
    unsafe { look_up_vectors(table, input, output) }
}

#[target_feature(enable = "neon")]
fn look_up_vectors(table: &Table, input: &[u8], output: &mut [u8]) {
    let (parts, _) = table.as_chunks::<64>();
    // SAFETY: each part has 64 bytes.
    let part = |i: usize| unsafe { vld1q_u8_x4(parts[i].as_ptr()) };
    let (first, others) = (part(0), [part(1), part(2), part(3)]);
    let ((vectors, rest), (to_vectors, to_rest)) = (input.as_chunks::<16>(), output.as_chunks_mut::<16>());
    for (from, to) in vectors.iter().zip(to_vectors) {
        // SAFETY: the array has 16 bytes.
        let mut index = unsafe { vld1q_u8(from.as_ptr()) };
        // An index beyond a part leaves what is found.
        let mut found = vqtbl4q_u8(first, index);
        for part in others {
            index = vsubq_u8(index, vdupq_n_u8(64));
            found = vqtbx4q_u8(found, part, index);
        }
        // SAFETY: the array has 16 bytes.
        unsafe { vst1q_u8(to.as_mut_ptr(), found) };
    }
    look_up(table, rest, to_rest);
}
