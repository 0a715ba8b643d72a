//! Errors of the Rust library as Python's exceptions. An exception of the caller's own comes back as the same object, with its
//! traceback.

use intact8::{Error, ErrorKind};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use std::error::Error as StdError;

/// The result of a function of the library.
pub(crate) trait OrRaise<T> {
    /// The value, or the exception to raise.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for intact8::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| exception(py, &error))
    }
}

/// The exception for an error.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    if let Some(own) = own_exception(error) {
        return own.clone_ref(py);
    }
    if error.kind == ErrorKind::Cancelled {
        return PyKeyboardInterrupt::new_err(error.to_string());
    }
    let kind = match error.kind {
        ErrorKind::Syntax | ErrorKind::InvalidModel | ErrorKind::InvalidConfig | ErrorKind::InvalidData => {
            "InputError"
        }
        ErrorKind::Io => "FileError",
        _ => "Intact8Error",
    };
    let made = py
        .import("intact8._errors")
        .and_then(|module| module.getattr(kind))
        .and_then(|class| class.call1((error.to_string(),)));
    made.map_or_else(|failure| failure, PyErr::from_value)
}

/// Raises the exception of a signal, such as KeyboardInterrupt, if there is one. Only the main thread of Python has signals.
pub(crate) fn check_signals() -> intact8::Result<()> {
    Python::attach(|py| py.check_signals()).map_err(|exception| Error::from_user(exception.into()))
}

/// The exception of the caller's code that caused an error.
pub(crate) fn own_exception(error: &Error) -> Option<&PyErr> {
    let mut cause = error.source();
    while let Some(found) = cause {
        if let Some(own) = found.downcast_ref::<PyErr>() {
            return Some(own);
        }
        cause = found.source();
    }
    None
}
