//! The text form of a model, `.qir`: for tests, for people, and for comparing models.
//!
//! A node is one line, in [`Graph::topo`](crate::Graph::topo) order; `docs/qir.md` has the grammar.
//! Notes and the file's origin are left out. Constants of more than 16 elements print as a hash, which the parser
//! refuses, unless [`Model::text`](crate::Model::text) or [`Model::text_and_data`](crate::Model::text_and_data) is asked
//! for all of them.

mod constants;
mod cursor;
mod lexer;
mod literal;
mod parser;
mod printer;

use std::fmt;

pub(crate) use printer::node_line;

/// The form in which [`Model::text`](crate::Model::text) writes constants of more than 16 elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constants {
    /// As a hash: such a text can be compared but not parsed.
    Elided,
    /// In full.
    Inline,
}

/// The most elements a constant may have to be printed in full.
const MAX_LITERAL: usize = 16;

/// A value's name as the text form writes it, for messages.
pub(crate) fn name(name: &str) -> String {
    struct Name<'a>(&'a str);
    impl fmt::Display for Name<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("%")?;
            write_name(f, self.0)
        }
    }
    Name(name).to_string()
}

/// Writes a name, in quotes if it holds a character that would end it.
pub(crate) fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let is_plain = !name.is_empty() && name.chars().all(lexer::is_name_char);
    // A symbol of digits would be parsed as a number, `_` or `?` as something left out, `//` as a comment.
    let is_taken = name.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        || name.starts_with("//")
        || matches!(name, "_" | "?");
    if is_plain && !is_taken { f.write_str(name) } else { write_quoted(f, name.as_bytes()) }
}

/// Writes bytes in double quotes; other than printable characters are escaped.
fn write_quoted(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("\"")?;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                c if c.is_control() => {
                    let mut utf8 = [0; 4];
                    c.encode_utf8(&mut utf8).bytes().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
                }
                c => write!(f, "{c}")?,
            }
        }
        chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
    }
    f.write_str("\"")
}
