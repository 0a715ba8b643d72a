//! Shared libraries as files: whether one can be loaded and has a function. The crates that call the libraries do not say why
//! one can't be loaded, and panic if a function is missing.

use intact8_ir::{Error, ErrorKind, Result};
use libloading::Library;
use std::path::Path;

/// Opens a shared library that must have a function of that name.
///
/// # Errors
/// If it can't be opened, or has no such function.
#[expect(unsafe_code, reason = "a foreign library is loaded, which runs its initializers")]
pub(crate) fn open(path: &Path, function: &str, title: &str) -> Result<Library> {
    let bad = |message: String| Error::new(ErrorKind::Io, message);
    // SAFETY: the user, or the installation of the runtime, names the library as one of this runtime; its initializers have no
    // requirements.
    let library = unsafe { Library::new(path) }.map_err(|error| {
        bad(format!(
            "can't be loaded: {}; name another library of {title}, or use --runtime none",
            cause(&error)
        ))
    })?;
    // SAFETY: the symbol is not called.
    let symbol = unsafe { library.get::<*const ()>(function) };
    symbol.map_err(|_| {
        bad(format!(
            "is no library of {title}: it has no function {function}; name another one, or use --runtime none"
        ))
    })?;
    Ok(library)
}

/// The innermost cause of an error, which is the system's.
fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}
