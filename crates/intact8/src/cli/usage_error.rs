//! Errors in the words of the command line, which have an exit code of their own.

use super::command::described;
use std::fmt;

/// An error in the words of the command line.
#[derive(Debug)]
pub(crate) struct UsageError(String);

impl UsageError {
    /// An error with a message.
    pub(crate) fn new(message: String) -> UsageError {
        UsageError(message)
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// The value of an option.
pub(crate) trait OrUsage<T> {
    /// The value, or an error in the words of the command line.
    fn or_usage(self) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrUsage<T> for Result<T, E> {
    fn or_usage(self) -> anyhow::Result<T> {
        self.map_err(|error| UsageError(described(&error.into())).into())
    }
}
