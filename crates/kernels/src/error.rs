//! The one error of this crate: sizes that do not fit together.
//! It carries no kind and no place; the caller knows which layer it was computing.

use std::fmt;

/// Why an operation refused its arguments, as a lower-case phrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

/// The result of operations that check their arguments.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Error {
        Error(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Checks that a slice has as many elements as the shape says.
pub(crate) fn expect_len(what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::new(format!("{what} has {found} elements, its shape needs {expected}")))
}
