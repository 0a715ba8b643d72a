//! Instruction sets for plain loops: the same safe code compiled for several sets, of which the best is chosen at run
//! time.
//! The most expensive loops do not use this module; they are written with intrinsics in files of their own.
//!
//! Floating-point results do not depend on the instruction set: the compiler neither reorders nor fuses.
//! The exception is code that uses an explicit multiply-add.

#[cfg(target_arch = "aarch64")]
pub(crate) mod arm;
mod choice;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::LazyLock;

pub use choice::choose;
pub(crate) use choice::{Row, allows};

/// An instruction set of this machine; a value exists only if the processor supports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Isa {
    /// The instruction sets of this machine that are not [excluded](choose), best first; the last is the baseline of the
    /// architecture.
    pub fn all() -> &'static [Isa] {
        static ALL: LazyLock<Vec<Isa>> = LazyLock::new(|| {
            #[cfg(target_arch = "x86_64")]
            let levels =
                [(x86::has_avx512(), Level::Avx512), (x86::has_avx2(), Level::Avx2), (true, Level::Portable)];
            #[cfg(not(target_arch = "x86_64"))]
            let levels = [(true, Level::Portable)];
            levels.into_iter().filter(|(available, _)| *available).map(|(_, level)| Isa(level)).collect()
        });
        &ALL
    }

    /// Those for which tables have kernels: none if only the reference is [chosen](choose).
    pub(crate) fn rows() -> &'static [Isa] {
        if allows(Row::Portable) { Isa::all() } else { &[] }
    }

    /// The first of [`all`](Self::all).
    #[inline]
    pub fn best() -> Isa {
        Isa::all()[0]
    }

    /// A name for tables of tests and benches.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            Level::Portable => "portable",
        }
    }

    /// Whether a multiply-add is one instruction, which rounds once.
    pub fn fused(self) -> bool {
        self.0 != Level::Portable || cfg!(any(target_feature = "fma", target_arch = "aarch64"))
    }

    /// Runs the loops compiled for this instruction set.
    #[inline]
    pub(crate) fn run<L: Loops>(self, loops: L) -> L::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => x86::run_avx512(loops),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => x86::run_avx2(loops),
            Level::Portable => loops.run(cfg!(any(target_feature = "fma", target_arch = "aarch64"))),
        }
    }
}

/// A computation in plain loops, with its operands.
pub(crate) trait Loops {
    /// The type of the result.
    type Output;

    /// Computes; `fused` is [`Isa::fused`], known to the compiler.
    ///
    /// Implementations mark it as `#[inline(always)]`, and also every function that it calls in loops:
    /// code that is not inlined is compiled without the instruction set.
    fn run(self, fused: bool) -> Self::Output;
}

/// `a · b + c`, rounded once if `fused`.
#[inline(always)]
pub(crate) fn multiply_add(fused: bool, a: f32, b: f32, c: f32) -> f32 {
    if fused { a.mul_add(b, c) } else { a * b + c }
}
