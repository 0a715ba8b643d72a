//! The parser's position in the tokens of a text, and its elementary steps.

use super::lexer::Token;
use crate::{Error, Model, Result};
use std::str::FromStr;

/// The largest depth of graphs in graphs and of types in types; ONNX files have 64 graphs at most.
const MAX_DEPTH: usize = 128;

pub(super) struct Parser<'a> {
    pub(super) tokens: Vec<(usize, Token)>,
    pub(super) at: usize,
    /// The number of graphs and types around the one that is read.
    pub(super) depth: usize,
    /// The bytes of constants that are beside the text.
    pub(super) data: Option<&'a [u8]>,
    /// The model parsed so far.
    pub(super) model: Model,
}

impl Parser<'_> {
    pub(super) fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::Newline, |(_, token)| token)
    }

    /// The line of the token that was read last.
    pub(super) fn line(&self) -> usize {
        self.tokens.get(self.at.saturating_sub(1)).map_or(1, |(line, _)| *line)
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    pub(super) fn take(&mut self, mark: &str) -> bool {
        let found = matches!(self.peek(), Token::Mark(found) if *found == mark);
        self.at += usize::from(found);
        found
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(found) if found == word);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, mark: &str) -> Result<()> {
        if self.take(mark) { Ok(()) } else { Err(self.unexpected(&format!("\"{mark}\""))) }
    }

    pub(super) fn unexpected(&mut self, expected: &str) -> Error {
        let found = match self.next() {
            Token::Word(word) => format!("{word:?}"),
            Token::Quoted(_) => "a string".to_owned(),
            Token::Mark(mark) => format!("\"{mark}\""),
            Token::Newline => "the end of the line".to_owned(),
        };
        Error::syntax(format!("expected {expected}, found {found}"))
    }

    pub(super) fn skip_newlines(&mut self) {
        while *self.peek() == Token::Newline && self.at < self.tokens.len() {
            self.at += 1;
        }
    }

    pub(super) fn is_at_end(&mut self) -> bool {
        self.skip_newlines();
        self.at >= self.tokens.len()
    }

    pub(super) fn name(&mut self) -> Result<String> {
        match self.peek().clone() {
            Token::Word(word) => {
                self.at += 1;
                Ok(word)
            }
            Token::Quoted(bytes) => {
                self.at += 1;
                String::from_utf8(bytes).map_err(|_| Error::syntax("a name must be UTF-8"))
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    pub(super) fn integer<T: FromStr>(&mut self) -> Result<T> {
        let number = match self.peek() {
            Token::Word(word) => word.parse().ok(),
            _ => None,
        };
        let Some(number) = number else { return Err(self.unexpected("an integer")) };
        self.at += 1;
        Ok(number)
    }

    /// Reads a graph or a type inside of another.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(Error::syntax(format!("more than {MAX_DEPTH} graphs or types are nested")));
        }
        self.depth += 1;
        let inner = read(self)?;
        self.depth -= 1;
        Ok(inner)
    }

    /// `open item, item, … close`, with line breaks allowed between the items.
    pub(super) fn list<T>(
        &mut self,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = Vec::new();
        self.skip_newlines();
        while !self.take(close) {
            if !items.is_empty() {
                self.expect(",")?;
                self.skip_newlines();
            }
            items.push(item(self)?);
            self.skip_newlines();
        }
        Ok(items)
    }
}
