//! The `intact8` command in the process of a Python interpreter.

use crate::detached::detached;
use pyo3::prelude::*;
use std::ffi::OsString;

/// Runs the command with its words, the name of the program first, and returns its exit code. The process should do nothing else.
#[pyfunction]
pub(crate) fn run_command(py: Python<'_>, words: Vec<OsString>) -> u8 {
    detached(py, || intact8::run_command(words))
}
