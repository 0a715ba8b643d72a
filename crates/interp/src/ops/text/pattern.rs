//! RegexFullMatch: regular expressions in the syntax of RE2, which differs slightly from that of the `regex` crate.

use crate::op::{CompileContext, Kernel, one};
use intact8_ir::{Error, Result, Tensor};
use regex::Regex;
use std::iter::Peekable;
use std::str::Chars;

/// Whether the pattern matches the whole string.
pub(super) fn full_match(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let missing = || Error::invalid_model("op RegexFullMatch must have the attribute pattern");
    let pattern = ctx.op.str("pattern")?.ok_or_else(missing)?;
    let wrong = |reason: &str| Error::invalid_model(format!("pattern {pattern:?} is invalid: {reason}"));
    let translated = translated(pattern).map_err(wrong)?;
    let regex = Regex::new(&format!("\\A(?:{translated})\\z")).map_err(|error| {
        // The lines before the last one show the translated pattern, which the user does not know.
        let message = error.to_string();
        let reason = message.lines().last().unwrap_or_default();
        wrong(reason.strip_prefix("error: ").unwrap_or(reason))
    })?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        call.reserve::<bool>(x.shape())?;
        let found = x.values::<String>()?.iter().map(|text| regex.is_match(text)).collect();
        one(Tensor::new(x.shape(), found))
    }))
}

/// The same pattern for the `regex` crate. In RE2, classes of letters, digits and spaces are ASCII, `\Q` and `\E`
/// quote, brackets do not nest, and a brace that is not a repetition is a literal.
fn translated(pattern: &str) -> Result<String, &'static str> {
    let mut out = String::new();
    let mut rest = pattern.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '\\' if rest.peek() == Some(&'Q') => quoted(&mut rest, &mut out),
            '\\' => escape(&mut rest, &mut out, false)?,
            '[' => class(&mut rest, &mut out)?,
            '{' if !is_repetition(rest.clone()) => out.push_str("\\{"),
            '(' if rest.peek() == Some(&'?') => group(&mut rest, &mut out)?,
            letter => out.push(letter),
        }
    }
    Ok(out)
}

/// The text after `\Q`, up to `\E` or the end.
fn quoted(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    rest.next();
    while let Some(letter) = rest.next() {
        if letter == '\\' && rest.peek() == Some(&'E') {
            rest.next();
            return;
        }
        out.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4])));
    }
}

/// The escape after `\`.
fn escape(rest: &mut Peekable<Chars<'_>>, out: &mut String, in_class: bool) -> Result<(), &'static str> {
    match rest.next().ok_or("it ends with a backslash")? {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        's' => out.push_str("[\\t\\n\\f\\r ]"),
        'S' => out.push_str("[^\\t\\n\\f\\r ]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        'b' if !in_class => out.push_str("(?-u:\\b)"),
        'B' if !in_class => out.push_str("(?-u:\\B)"),
        'C' if !in_class => return Err("single bytes can't be matched"),
        digit @ '0'..='7' => octal(digit, rest, out)?,
        letter @ ('x' | 'p' | 'P') => {
            out.extend(['\\', letter]);
            if rest.peek() == Some(&'{') {
                out.extend(rest.take_while(|&letter| letter != '}').chain(['}']));
            }
        }
        letter @ ('a' | 'f' | 't' | 'n' | 'r' | 'v' | 'A' | 'z') => out.extend(['\\', letter]),
        letter if letter.is_ascii_alphanumeric() => return Err("it has an escape that RE2 does not know"),
        letter => out.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
    }
    Ok(())
}

/// `\0` and up to two more digits, or at least two digits: a single one would refer to a group.
fn octal(first: char, rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), &'static str> {
    let mut digits = String::from(first);
    while digits.len() < 3
        && let Some(&digit @ '0'..='7') = rest.peek()
    {
        digits.push(digit);
        rest.next();
    }
    if digits.len() == 1 && first != '0' {
        return Err("it refers to a group, which RE2 does not know");
    }
    let code = u32::from_str_radix(&digits, 8).map_err(|_| "it has an octal number that is none")?;
    out.push_str(&format!("\\x{{{code:x}}}"));
    Ok(())
}

/// The class after `[`.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), &'static str> {
    out.push('[');
    if rest.peek() == Some(&'^') {
        out.extend(rest.next());
    }
    // A bracket at the start does not close the class.
    if rest.peek() == Some(&']') {
        rest.next();
        out.push_str("\\]");
    }
    loop {
        match rest.next().ok_or("a class has no end")? {
            ']' => break,
            '\\' => escape(rest, out, true)?,
            '[' if rest.peek() == Some(&':') => {
                out.push('[');
                for letter in rest.by_ref() {
                    out.push(letter);
                    if letter == ']' {
                        break;
                    }
                }
            }
            letter @ ('[' | '&' | '~') => out.extend(['\\', letter]),
            // Two hyphens would mean a difference of classes.
            '-' if out.ends_with('-') => out.push_str("\\-"),
            letter => out.push(letter),
        }
    }
    out.push(']');
    Ok(())
}

/// Whether one or two counts and the closing brace follow. The largest count of RE2 is 1000.
fn is_repetition(rest: Peekable<Chars<'_>>) -> bool {
    let next: String = rest.take("1000,1000}".len()).collect();
    let Some((inside, _)) = next.split_once('}') else { return false };
    let (low, high) = inside.split_once(',').unwrap_or((inside, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !low.is_empty() && is_number(low) && is_number(high)
}

/// The group after `(`: RE2 supports fewer flags than the crate.
fn group(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), &'static str> {
    out.push('(');
    out.extend(rest.next());
    if matches!(rest.peek(), Some('P' | '<')) {
        return Ok(());
    }
    while let Some(&letter) = rest.peek() {
        match letter {
            'i' | 'm' | 's' | 'U' | '-' => out.extend(rest.next()),
            ':' | ')' => break,
            _ => return Err("it has a group that RE2 does not know"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Regex::new(&format!("\\A(?:{})\\z", translated(pattern).unwrap())).unwrap().is_match(text)
    }

    #[test]
    fn patterns_have_the_meaning_of_re2() {
        let same = [
            ("a{,2}", "a{,2}"),
            ("a{2", "a{2"),
            ("a{2}", "aa"),
            ("[[a]+", "[a"),
            ("a\\<", "a<"),
            ("\\Qa.b\\E+", "a.bb"),
            ("[a&&b]+", "a&b"),
            ("[]a]+", "]a"),
            ("[^]a]", "b"),
            ("[\\d-z]+", "1-z"),
            ("[+--]+", "+,-"),
            ("[[:alpha:]_]+", "a_"),
            ("\\101\\x41\\x{42}", "AAB"),
            ("(?i)k(?-i:k)", "Kk"),
            ("(?P<n>x)(?<m>y)", "xy"),
            ("\\bx\\b", "x"),
            ("\\B", ""),
            ("é\\pL\\p{Lu}", "éüÄ"),
            ("(?s).", "\n"),
        ];
        for (pattern, text) in same {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("\\d", "٣"), ("\\w", "é"), (".", "\n"), ("a|b", "ab"), ("\\s", "\u{a0}")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        for pattern in ["\\C", "\\1", "(?x)a", "a\\", "[a", "\\y", "(?=a)"] {
            assert!(translated(pattern).is_err(), "{pattern}");
        }
    }
}
