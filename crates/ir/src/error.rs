//! The one error type of the workspace.
//!
//! Messages read `where: what is wrong; what to do`, in lower case and without a full stop, on one line whatever the names
//! in them hold.
//! The kind is for programs, the text is for people.

use std::borrow::Cow;
use std::fmt;

/// What the workspace's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error: what kind, where, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Whose fault it is, for programs.
    pub kind: ErrorKind,
    /// The layer, node, value, line or file that is meant, outermost first, joined by `: `.
    pub at: Option<String>,
    /// What is wrong, and what to do about it.
    pub message: String,
}

/// The kinds of error that a program may want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A text or a file is not in its format.
    Syntax,
    /// A model breaks a rule of ONNX or of [`verify`](crate::verify()).
    InvalidModel,
    /// A configuration or a record does not fit the model, or a value is out of range.
    InvalidConfig,
    /// Tensors that were fed do not fit the model, or hold what can't be used.
    InvalidData,
    /// Correct, but not something that intact8 can do.
    Unsupported,
    /// A limit on memory or steps was reached.
    Limit,
    /// The user's evaluator, strategy or sensitivity failed or answered nonsense.
    Evaluator,
    /// The caller asked for the work to stop.
    Cancelled,
}

impl Error {
    /// An error without a place; add one with [`Error::at`].
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, at: None, message: message.into() }
    }

    /// The same error, found at `place`. Outer places go in front of inner ones.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Error {
        self.at = Some(match self.at {
            Some(inner) => format!("{place}: {inner}"),
            None => place.to_string(),
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

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_a_name_holds() {
        let error = Error::invalid_model("reads \u{1b}[31m\r").at("a\nb");
        assert_eq!(error.to_string(), r"a\nb: reads \u{1b}[31m\r");
        assert_eq!(Error::invalid_model("größer").to_string(), "größer");
    }
}
