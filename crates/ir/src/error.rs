//! The one error type of the workspace.
//!
//! Messages have the structure `where: what is wrong; what to do`, in lower case and without a full stop, and are one
//! line even if names in them hold line breaks.
//! The kind is for programs, the text is for people.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The result of the workspace's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error: its kind, location and message.
#[derive(Debug, Clone)]
pub struct Error {
    /// The kind, for programs.
    pub kind: ErrorKind,
    /// The location: layer, node, value, line or file, outermost first, joined by `: `.
    pub at: Option<String>,
    /// What is wrong, and what to do about it.
    pub message: String,
    /// The error of another library or of the user's code that caused this one.
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The kinds of errors, for programs that handle them differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A text or a file is not in its format.
    Syntax,
    /// A model breaks a rule of ONNX or of [`verify`](crate::verify()).
    InvalidModel,
    /// A configuration or a record does not fit the model, or a value is out of range.
    InvalidConfig,
    /// Tensors that were fed do not fit the model, or hold unusable values.
    InvalidData,
    /// A file or a stream could not be read or written.
    Io,
    /// Correct, but not supported by intact8.
    Unsupported,
    /// A limit on memory or steps was reached.
    Limit,
    /// The user's evaluator, strategy or sensitivity failed or returned an invalid result.
    Evaluator,
    /// The caller asked for the work to stop.
    Cancelled,
}

impl Error {
    /// An error without a location; add one with [`Error::at`].
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, at: None, message: message.into(), cause: None }
    }

    /// The failure of a read or a write; the cause is kept.
    pub fn io(error: std::io::Error) -> Error {
        Error::new(ErrorKind::Io, error.to_string()).caused_by(error)
    }

    /// A failure of the user's code. An [`Error`] passes through unchanged; of any other error the text is the message, and
    /// the error itself is kept as the [source](StdError::source).
    pub fn from_user(error: Box<dyn StdError + Send + Sync>) -> Error {
        match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => {
                let message = error.to_string();
                Error { cause: Some(Arc::from(error)), ..Error::evaluator(message) }
            }
        }
    }

    /// The same error with the error that caused it.
    #[must_use]
    pub fn caused_by(mut self, cause: impl StdError + Send + Sync + 'static) -> Error {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// The same error, found at `location`. Outer locations precede inner ones.
    #[must_use]
    pub fn at(mut self, location: impl fmt::Display) -> Error {
        self.at = Some(match self.at {
            Some(inner) => format!("{location}: {inner}"),
            None => location.to_string(),
        });
        self
    }
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {
        impl Error {
            $($(#[$doc])* pub fn $name(message: impl Into<String>) -> Error {
                Error::new(ErrorKind::$kind, message)
            })*
        }
    };
}

constructors! {
    /// A [`ErrorKind::Syntax`] error.
    syntax => Syntax;
    /// A [`ErrorKind::InvalidModel`] error.
    invalid_model => InvalidModel;
    /// A [`ErrorKind::InvalidConfig`] error.
    invalid_config => InvalidConfig;
    /// A [`ErrorKind::InvalidData`] error.
    invalid_data => InvalidData;
    /// A [`ErrorKind::Unsupported`] error.
    unsupported => Unsupported;
    /// A [`ErrorKind::Limit`] error.
    limit => Limit;
    /// A [`ErrorKind::Evaluator`] error.
    evaluator => Evaluator;
    /// A [`ErrorKind::Cancelled`] error.
    cancelled => Cancelled;
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{}: ", one_line(at))?;
        }
        f.write_str(&one_line(&self.message))
    }
}

/// A text with its control characters escaped, such as the line feeds that names of nodes may hold.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escaped =
        text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() });
    Cow::Owned(escaped.collect())
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

/// Errors with equal kinds, locations and messages are equal; the causes are not compared.
impl PartialEq for Error {
    fn eq(&self, other: &Error) -> bool {
        (self.kind, &self.at, &self.message) == (other.kind, &other.at, &other.message)
    }
}

impl Eq for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_kept() {
        let missing = || std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let error = Error::io(missing()).at("model.onnx");
        assert_eq!((error.kind, error.to_string().as_str()), (ErrorKind::Io, "model.onnx: no such file"));
        let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>()).unwrap();
        assert_eq!(cause.kind(), std::io::ErrorKind::NotFound);
        let of_user = Error::from_user(Box::new(missing()));
        assert_eq!((of_user.kind, of_user.to_string().as_str()), (ErrorKind::Evaluator, "no such file"));
        assert!(of_user.source().is_some_and(|cause| cause.is::<std::io::Error>()));
        assert_eq!(Error::from_user(Box::new(error.clone())), error);
    }

    #[test]
    fn a_message_is_one_line_for_every_name() {
        let error = Error::invalid_model("bad \u{1b}[31m\r").at("a\nb");
        assert_eq!(error.to_string(), r"a\nb: bad \u{1b}[31m\r");
        assert_eq!(Error::invalid_model("größer").to_string(), "größer");
    }
}
