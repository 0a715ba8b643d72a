//! Checks of single values.

use intact8_ir::{Error, Result};
use std::fmt::Display;

/// An error that names the key and the value found, unless the value is in range.
pub(super) fn within(key: &str, is_inside: bool, expected: &str, found: impl Display) -> Result<()> {
    if is_inside {
        Ok(())
    } else {
        Err(Error::invalid_config(format!("must be {expected}, found {found}")).at(key))
    }
}

/// Checks the part of the values that a range must hold.
pub(super) fn percentile(key: &str, part: f64) -> Result<()> {
    within(key, part > 0.5 && part <= 1.0, "more than 0.5 and at most 1", part)
}
