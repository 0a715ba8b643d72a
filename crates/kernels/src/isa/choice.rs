//! The best kernels that the tables may have, by a word: where a fault or a time must be found, or a test wants the kernels of
//! a lesser machine.

use std::sync::OnceLock;

use crate::error::{Error, Result};

/// The kernels of an instruction set; each uses those before it where it has none of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    Reference,
    Portable,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "aarch64")]
    Dotprod,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The words, best first.
const ROWS: &[(&str, Row)] = &[
    #[cfg(target_arch = "x86_64")]
    ("avx512", Row::Avx512),
    #[cfg(target_arch = "x86_64")]
    ("avxvnni", Row::AvxVnni),
    #[cfg(target_arch = "x86_64")]
    ("avx2", Row::Avx2),
    #[cfg(target_arch = "aarch64")]
    ("dotprod", Row::Dotprod),
    #[cfg(target_arch = "aarch64")]
    ("neon", Row::Neon),
    ("portable", Row::Portable),
    ("reference", Row::Reference),
];

static CHOICE: OnceLock<Row> = OnceLock::new();

/// Makes the tables end at a row: `reference`, `portable`, for x86-64 `avx2`, `avxvnni` and `avx512`, and for AArch64 `neon`
/// and `dotprod`; those of better instruction sets are left out. What the processor lacks is never used.
///
/// # Errors
/// If the word is none of these, or kernels of another row have been used before.
pub fn choose(word: &str) -> Result<()> {
    let row = row(word)?;
    match *CHOICE.get_or_init(|| row) == row {
        true => Ok(()),
        false => Err(Error::new(format!("the kernels can't become {word}: others are in use"))),
    }
}

fn row(word: &str) -> Result<Row> {
    let found = ROWS.iter().find(|(name, _)| *name == word);
    found.map(|(_, row)| *row).ok_or_else(|| {
        let names: Vec<&str> = ROWS.iter().map(|(name, _)| *name).collect();
        Error::new(format!("{word:?} names no kernels; choose one of {}", names.join(", ")))
    })
}

/// Whether the tables may have the row.
pub(crate) fn allows(allowed: Row) -> bool {
    allowed <= *CHOICE.get_or_init(unchosen)
}

/// All rows; in builds with debug assertions, such as tests, those that the variable named when they were compiled.
fn unchosen() -> Row {
    let compiled = if cfg!(debug_assertions) { option_env!("INTACT8_KERNELS") } else { None };
    match compiled.filter(|word| !word.is_empty()).map(row) {
        Some(Ok(row)) => row,
        Some(Err(error)) => panic!("INTACT8_KERNELS: {error}"),
        None => ROWS[0].1,
    }
}
