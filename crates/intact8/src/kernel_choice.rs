//! The variable `INTACT8_KERNELS`: which kernels compute.

use intact8_ir::{Error, ErrorKind, Result};
use intact8_kernels::isa;

const VARIABLE: &str = "INTACT8_KERNELS";

/// Leaves out the kernels of instruction sets better than the one that the variable `INTACT8_KERNELS` names, if it is set:
/// `reference`, `portable`, for x86-64 `avx2`, `avxvnni` and `avx512`, and for AArch64 `neon` and `dotprod`. It is for the
/// start of a process.
///
/// # Errors
/// If the variable is another word, or kernels have been used before.
pub fn choose_kernels() -> Result<()> {
    let Some(word) = std::env::var_os(VARIABLE).filter(|word| !word.is_empty()) else { return Ok(()) };
    isa::choose(&word.to_string_lossy())
        .map_err(|error| Error::new(ErrorKind::InvalidConfig, error.to_string()).at(VARIABLE))
}
