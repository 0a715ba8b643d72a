//! StringSplit: splitting strings at delimiters.

use crate::op::{CompileContext, Kernel, Outputs};
use crate::room::reserve_text;
use intact8_ir::{Result, Tensor};

/// Strings with fewer parts are padded with empty ones; the second output is the number of parts.
pub(super) fn split(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let delimiter = ctx.str("delimiter", "")?.to_owned();
    // Below 0 there is no limit.
    let most = ctx.op.int("maxsplit")?.and_then(|most| usize::try_from(most).ok());
    let most = most.map_or(usize::MAX, |most| most.saturating_add(1));
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let texts = x.values::<String>()?;
        let mut counts = call.zeros::<i64>(x.shape())?;
        let mut width = 0;
        for (text, count) in texts.iter().zip(&mut counts) {
            let n_parts = parts(text, &delimiter, most).count();
            *count = n_parts as i64;
            width = width.max(n_parts);
        }
        let shape = [x.shape(), &[width]].concat();
        call.reserve::<String>(&shape)?;
        reserve_text(call, texts.iter().map(String::len))?;
        let mut out = Vec::with_capacity(texts.len() * width);
        for (idx, text) in texts.iter().enumerate() {
            out.extend(parts(text, &delimiter, most).map(str::to_owned));
            out.resize((idx + 1) * width, String::new());
        }
        Ok(Outputs::from_iter([Tensor::new(&shape, out).into(), Tensor::new(x.shape(), counts).into()]))
    }))
}

/// At most `most` parts; the last one holds the rest. Without a delimiter, any amount of white space separates parts,
/// and it is trimmed at the ends. An empty string has no parts.
fn parts<'a>(text: &'a str, delimiter: &'a str, most: usize) -> impl Iterator<Item = &'a str> {
    let mut rest = match delimiter {
        "" => text.trim(),
        _ => text,
    };
    let mut left = if rest.is_empty() { 0 } else { most };
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let at = match delimiter {
            _ if left == 0 => None,
            "" => rest.find(char::is_whitespace),
            delimiter => rest.find(delimiter),
        };
        let Some(at) = at else {
            left = 0;
            return Some(rest);
        };
        let part = &rest[..at];
        rest = match delimiter {
            "" => rest[at..].trim_start(),
            delimiter => &rest[at + delimiter.len()..],
        };
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list<'a>(text: &'a str, delimiter: &'a str, most: usize) -> Vec<&'a str> {
        parts(text, delimiter, most).collect()
    }

    #[test]
    fn white_space_is_one_delimiter_and_other_delimiters_count_each() {
        assert_eq!(list("  a b  c ", "", usize::MAX), ["a", "b", "c"]);
        assert_eq!(list("  a b  c ", "", 2), ["a", "b  c"]);
        assert_eq!(list(",a,,c", ",", usize::MAX), ["", "a", "", "c"]);
        assert_eq!(list(",a,,c,", ",", 3), ["", "a", ",c,"]);
        assert_eq!(list("a,,,", ",,", usize::MAX), ["a", ","]);
        assert_eq!(list("", ",", usize::MAX), [""; 0]);
        assert_eq!(list("é\u{2003}ü", "", usize::MAX), ["é", "ü"]);
    }
}
