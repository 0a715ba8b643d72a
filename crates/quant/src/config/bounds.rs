//! Checks of single values.

use intact8_ir::{Error, Result};
use std::fmt::Display;

/// An error that names the key and what was found, unless the value is inside.
pub(super) fn within(key: &str, is_inside: bool, expected: &str, found: impl Display) -> Result<()> {
    if is_inside {
        Ok(())
    } else {
        Err(Error::invalid_config(format!("must be {expected}, found {found}")).at(key))
    }
}

/// Checks a part of the values that a range holds.
pub(super) fn percentile(key: &str, part: f64) -> Result<()> {
    within(key, part > 0.5 && part <= 1.0, "more than 0.5 and at most 1", part)
}
