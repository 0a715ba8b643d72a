//! The words of the text form.

use crate::{Error, Result};

/// A word, as the parser sees it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A bare name, keyword, type or number; the parser decides which, by its position.
    Word(String),
    /// A string in quotes, unescaped.
    Quoted(Vec<u8>),
    /// One of `% @ = : , ; ( ) [ ] { } # ::`.
    Mark(&'static str),
    /// The end of a line.
    Newline,
}

/// Whether a character may stand in a name without quotes.
pub(super) fn is_name_char(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && !" ,;()=:{}[]%@#\"\\".contains(c)
}

/// Splits a text into tokens, each with its line number from 1. Comments run from `//` to the end of the line.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>> {
    const MARKS: [&str; 14] = ["::", "%", "@", "=", ":", ",", ";", "(", ")", "[", "]", "{", "}", "#"];
    let mut tokens = Vec::new();
    for (idx, line) in text.lines().enumerate() {
        let n_line = idx + 1;
        let mut rest = line.trim_start();
        while !rest.is_empty() && !rest.starts_with("// ") && rest != "//" {
            if let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) {
                tokens.push((n_line, Token::Mark(mark)));
                rest = &rest[mark.len()..];
            } else if let Some(quoted) = rest.strip_prefix('"') {
                let (bytes, after) = unquote(quoted).map_err(|error| error.at(format!("line {n_line}")))?;
                tokens.push((n_line, Token::Quoted(bytes)));
                rest = after;
            } else {
                let end = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
                if end == 0 {
                    let c = rest.chars().next().unwrap_or_default();
                    return Err(Error::syntax(format!("unexpected {c:?}")).at(format!("line {n_line}")));
                }
                tokens.push((n_line, Token::Word(rest[..end].to_owned())));
                rest = &rest[end..];
            }
            rest = rest.trim_start();
        }
        tokens.push((n_line, Token::Newline));
    }
    Ok(tokens)
}

/// Reads up to the closing quote; returns the bytes and what follows.
fn unquote(text: &str) -> Result<(Vec<u8>, &str)> {
    let mut bytes = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((bytes, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => bytes.push(b'\n'),
                Some((_, 'x')) => {
                    let digits =
                        text.get(at + 2..at + 4).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                    bytes.push(digits.ok_or_else(|| Error::syntax("\\x needs two hexadecimal digits"))?);
                    chars.nth(1);
                }
                Some((_, c)) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => break,
            },
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err(Error::syntax("the string has no closing quote"))
}
