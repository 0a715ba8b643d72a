//! The text format of protocol buffers, read without a schema: a message is a list of named fields.
//!
//! The code that uses a message knows its fields and their types. Extensions and `Any` are not supported.

use intact8_ir::{Error, Result, did_you_mean};

/// The fields of a message, in order; a repeated field occurs several times.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Message(pub(crate) Vec<Field>);

/// A field of a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: Value,
    /// From 1.
    pub(crate) line: usize,
}

/// A field's value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// A number or a name, verbatim.
    Word(String),
    Text(String),
    Message(Message),
}

impl Message {
    /// Parses a text; errors name the line.
    pub(crate) fn parse(text: &str) -> Result<Message> {
        let mut parser = Parser { rest: text, line: 1 };
        let message = parser.fields(0).and_then(|message| match parser.token()? {
            Token::End => Ok(message),
            token => Err(unexpected("a field", &token)),
        });
        message.map_err(|error| error.at(format!("line {}", parser.line)))
    }
}

impl Field {
    fn error(&self, expected: &str) -> Error {
        Error::syntax(format!("{} must be {expected}", self.name)).at(format!("line {}", self.line))
    }

    /// The field as a number.
    pub(crate) fn number<T: std::str::FromStr>(&self) -> Result<T> {
        match &self.value {
            Value::Word(word) => {
                word.trim_end_matches(['f', 'F']).parse().map_err(|_| self.error("a number"))
            }
            _ => Err(self.error("a number")),
        }
    }

    /// The field as true or false.
    pub(crate) fn flag(&self) -> Result<bool> {
        match &self.value {
            Value::Word(word) if ["true", "t", "True", "1"].contains(&word.as_str()) => Ok(true),
            Value::Word(word) if ["false", "f", "False", "0"].contains(&word.as_str()) => Ok(false),
            _ => Err(self.error("true or false")),
        }
    }

    /// The field as a name without quotes.
    #[cfg(feature = "config-files")]
    pub(crate) fn word(&self) -> Result<&str> {
        match &self.value {
            Value::Word(word) => Ok(word),
            _ => Err(self.error("a name")),
        }
    }

    /// The field as a string.
    pub(crate) fn text(&self) -> Result<&str> {
        match &self.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.error("a string in quotes")),
        }
    }

    /// The field as a message.
    pub(crate) fn message(&self) -> Result<&Message> {
        match &self.value {
            Value::Message(message) => Ok(message),
            _ => Err(self.error("a message in braces")),
        }
    }

    /// The error for a field that the message does not have.
    pub(crate) fn unknown(&self) -> Error {
        self.unknown_among(&[])
    }

    /// The same error, with the field that is likely to be meant among those that the message may have.
    pub(crate) fn unknown_among(&self, known: &[&str]) -> Error {
        let meant = did_you_mean(&self.name, known.iter().copied());
        let message = format!("there is no field {:?} here{meant}", self.name);
        Error::syntax(message).at(format!("line {}", self.line))
    }
}

#[derive(Debug)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
    End,
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
}

/// No message of ours nests deeper.
const MAX_DEPTH: usize = 32;

impl Parser<'_> {
    fn skip(&mut self) {
        loop {
            let trimmed = self.rest.trim_start();
            self.line += self.rest[..self.rest.len() - trimmed.len()].matches('\n').count();
            self.rest = trimmed;
            if !self.rest.starts_with('#') {
                return;
            }
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.rest = &self.rest[end..];
        }
    }

    fn token(&mut self) -> Result<Token> {
        self.skip();
        let Some(first) = self.rest.chars().next() else { return Ok(Token::End) };
        if first == '"' || first == '\'' {
            return self.quoted(first).map(Token::Text);
        }
        let is_word = |c: char| c.is_alphanumeric() || "_.+-".contains(c);
        let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let end = if end == 0 { first.len_utf8() } else { end };
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(if is_word(first) { Token::Word(word.to_owned()) } else { Token::Mark(first) })
    }

    /// A string, with the escapes that record files use.
    fn quoted(&mut self, quote: char) -> Result<String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = &self.rest[at + c.len_utf8()..];
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, c @ ('\\' | '"' | '\''))) => text.push(c),
                    _ => return Err(Error::syntax("unknown escape in a string")),
                },
                '\n' => break,
                c => text.push(c),
            }
        }
        Err(Error::syntax("the string has no closing quote"))
    }

    /// Fields up to the end or to a closing brace, which is left alone.
    fn fields(&mut self, depth: usize) -> Result<Message> {
        let mut fields = Vec::new();
        loop {
            self.skip();
            if self.rest.is_empty() || self.rest.starts_with(['}', '>']) {
                return Ok(Message(fields));
            }
            let line = self.line;
            let name = match self.token()? {
                Token::Word(name) => name,
                Token::Mark(',' | ';') => continue,
                token => return Err(unexpected("a field", &token)),
            };
            self.skip();
            let has_colon = self.rest.starts_with(':');
            self.rest = self.rest.strip_prefix(':').unwrap_or(self.rest);
            let value = match self.token()? {
                Token::Mark(open @ ('{' | '<')) => Value::Message(self.nested(open, depth)?),
                Token::Word(word) if has_colon => Value::Word(word),
                Token::Text(text) if has_colon => Value::Text(text),
                Token::Mark('[') if has_colon => {
                    let values = self.list()?;
                    fields.extend(values.into_iter().map(|value| Field { name: name.clone(), value, line }));
                    continue;
                }
                token => return Err(unexpected(&format!("a value for {name}"), &token)),
            };
            fields.push(Field { name, value, line });
        }
    }

    fn nested(&mut self, open: char, depth: usize) -> Result<Message> {
        if depth == MAX_DEPTH {
            return Err(Error::syntax(format!("messages nest deeper than {MAX_DEPTH}")));
        }
        let message = self.fields(depth + 1)?;
        match (open, self.token()?) {
            ('{', Token::Mark('}')) | ('<', Token::Mark('>')) => Ok(message),
            (_, token) => Err(unexpected("a closing brace", &token)),
        }
    }

    /// `[a, b]`: several values of one repeated field.
    fn list(&mut self) -> Result<Vec<Value>> {
        let mut values = Vec::new();
        loop {
            match self.token()? {
                Token::Word(word) => values.push(Value::Word(word)),
                Token::Text(text) => values.push(Value::Text(text)),
                Token::Mark(',') => {}
                Token::Mark(']') => return Ok(values),
                token => return Err(unexpected("an element or \"]\"", &token)),
            }
        }
    }
}

fn unexpected(expected: &str, found: &Token) -> Error {
    let found = match found {
        Token::Word(word) => format!("{word:?}"),
        Token::Text(_) => "a string".to_owned(),
        Token::Mark(mark) => format!("\"{mark}\""),
        Token::End => "the end of the text".to_owned(),
    };
    Error::syntax(format!("expected {expected}, found {found}"))
}

/// Writes a string in quotes, as [`Message::parse`] reads it.
pub(crate) fn quote(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_messages_and_lists() {
        let text = "a: 1 # comment\nb { c: \"x\\\"y\" c: 'z' }\nd: [1.5, -2e-3f];\ne < f: true >";
        let Message(fields) = Message::parse(text).unwrap();
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "d", "d", "e"]);
        assert_eq!(fields[1].message().unwrap().0[0].text().unwrap(), "x\"y");
        assert_eq!(fields[3].number::<f32>().unwrap(), -2e-3);
        assert_eq!(fields[4].line, 4);
        assert!(fields[4].message().unwrap().0[0].flag().unwrap());
    }

    #[test]
    fn errors_name_the_line() {
        let message = |text: &str| Message::parse(text).unwrap_err().to_string();
        assert_eq!(message("a: 1\nb: {"), "line 2: expected a closing brace, found the end of the text");
        assert_eq!(message("a 1"), "line 1: expected a value for a, found \"1\"");
        assert_eq!(message("}"), "line 1: expected a field, found \"}\"");
        assert!(message(&"a{".repeat(40)).contains("nest deeper"));
    }
}
