//! Calls of code compiled for AVX-512 and AVX2; nothing is computed here.

#![allow(unsafe_code, reason = "calling a #[target_feature] function, after run-time detection")]

use super::{Loops, Row, allows};

/// AVX-512 as in every server processor since Skylake, with its FMA and AVX2.
pub(super) fn has_avx512() -> bool {
    allows(Row::Avx512)
        && has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

/// AVX2 with FMA.
pub(super) fn has_avx2() -> bool {
    allows(Row::Avx2) && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

pub(super) fn run_avx512<L: Loops>(loops: L) -> L::Output {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    fn run<L: Loops>(loops: L) -> L::Output {
        loops.run(true)
    }
    // SAFETY: called only for `Level::Avx512`, which `Isa::all` makes only where `has_avx512`.
    unsafe { run(loops) }
}

pub(super) fn run_avx2<L: Loops>(loops: L) -> L::Output {
    #[target_feature(enable = "avx2,fma")]
    fn run<L: Loops>(loops: L) -> L::Output {
        loops.run(true)
    }
    // SAFETY: called only for `Level::Avx2`, which `Isa::all` makes only where `has_avx2`.
    unsafe { run(loops) }
}
