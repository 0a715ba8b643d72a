//! The error of this crate: sizes that do not match.
//! It has neither a kind nor a location; the caller knows the layer that it computes.

use std::fmt;

/// The reason why an operation rejected its arguments, as a phrase in lower case.
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

/// Checks that the number of elements of a slice matches the shape.
pub(crate) fn expect_len(what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::new(format!("{what} has {found} elements, but its shape requires {expected}")))
}
