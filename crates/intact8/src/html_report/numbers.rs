//! Numbers and names as a reader wants them: few digits, units, and no text that breaks a table.

/// A number with that number of significant digits at most; a true minus sign.
pub(super) fn digits(value: f64, n_digits: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return value.to_string();
    }
    let exponent = value.abs().log10().floor() as i32;
    let text = if (-5..7).contains(&exponent) {
        let decimals = usize::try_from(n_digits as i32 - 1 - exponent).unwrap_or(0);
        let text = format!("{value:.decimals$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{value:.*e}", n_digits.saturating_sub(1).min(2))
    };
    text.replace('-', "−")
}

/// A metric: six decimals like those of the command, fewer for large numbers.
pub(super) fn metric(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value != 0.0 && (value.abs() < 1e-4 || value.abs() >= 1000.0) => digits(value, 5),
        Some(value) if value.abs() >= 10.0 => format!("{value:.2}").replace('-', "−"),
        Some(value) => format!("{value:.4}").replace('-', "−"),
    }
}

/// A similarity of a layer: with six decimals like those of the command, or decibels.
pub(super) fn similarity(value: f64) -> String {
    if value.abs() <= 1.0 { format!("{value:.6}").replace('-', "−") } else { digits(value, 5) }
}

/// A ratio in decibels. Outputs that do not differ have the greatest one.
pub(super) fn decibels(value: f64) -> String {
    if value >= 200.0 { "exact".to_owned() } else { format!("{value:.1} dB").replace('-', "−") }
}

/// A loss in the unit of the target, of which `target` is the text.
pub(super) fn loss(value: Option<f64>, target: &str) -> String {
    match value {
        // A loss that rounds to 0 has no sign.
        Some(value) if target.ends_with('%') => {
            format!("{:.3} %", value * 100.0 + 0.0).replace('-', "−").replace("−0.000 ", "0.000 ")
        }
        other => metric(other.map(|value| value + 0.0)),
    }
}

/// A count with a unit: `1.2 M`.
pub(super) fn count(value: u64) -> String {
    with_unit(value, &["", " k", " M", " G", " T", " P", " E"])
}

/// A size: `28.8 kB`.
pub(super) fn bytes(value: u64) -> String {
    with_unit(value, &[" B", " kB", " MB", " GB", " TB", " PB", " EB"])
}

fn with_unit(value: u64, units: &[&str]) -> String {
    let (mut scaled, mut unit) = (value as f64, 0);
    while scaled >= 999.95 && unit + 1 < units.len() {
        (scaled, unit) = (scaled / 1000.0, unit + 1);
    }
    if unit == 0 { format!("{value}{}", units[0]) } else { format!("{scaled:.1}{}", units[unit]) }
}

/// A ratio: `2.35×`.
pub(super) fn ratio(value: f64) -> String {
    format!("{}×", digits(value, 3))
}

/// A name of at most `most` characters; of a longer one the middle is left out.
pub(super) fn shortened(name: &str, most: usize) -> String {
    let n_characters = name.chars().count();
    if n_characters <= most {
        return visible(name);
    }
    let (head, tail) = (most.saturating_sub(1) / 2, most.saturating_sub(1).div_ceil(2));
    let head: String = name.chars().take(head).collect();
    let tail: String = name.chars().skip(n_characters - tail).collect();
    visible(&format!("{head}…{tail}"))
}

/// The same text with a mark for each control character, which HTML does not show or does not permit.
pub(super) fn visible(text: &str) -> String {
    let mark = |character: char| match character {
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + character as u32).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        other if other.is_control() || is_bidirectional(other) || is_no_character(other) => '\u{fffd}',
        other => other,
    };
    text.chars().map(mark).collect()
}

/// Characters that change the order of the text around them.
fn is_bidirectional(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

fn is_no_character(character: char) -> bool {
    matches!(character, '\u{fdd0}'..='\u{fdef}') || character as u32 & 0xfffe == 0xfffe
}

/// A noun with its number.
pub(super) fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_few_digits_and_units() {
        let found = [0.0, 0.1, -0.25, 1234567.0, 0.000012345678, 1e-9, 3.0e12].map(|value| digits(value, 6));
        assert_eq!(found, ["0", "0.1", "−0.25", "1234567", "0.0000123457", "1.00e−9", "3.00e12"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1.0 k", "1.2 M"]);
        assert_eq!([12, 28_800].map(bytes), ["12 B", "28.8 kB"]);
        assert_eq!([Some(0.994981), Some(65.4321), None].map(metric), ["0.9950", "65.43", "–"]);
        assert_eq!(loss(Some(-0.0), "1%"), "0.000 %");
        assert_eq!(loss(Some(0.0123), "1%"), "1.230 %");
        assert_eq!([31.26, -2.0, 200.0].map(decibels), ["31.3 dB", "−2.0 dB", "exact"]);
    }

    #[test]
    fn long_names_lose_their_middle_and_control_characters_are_visible() {
        assert_eq!(shortened("layer1.conv", 20), "layer1.conv");
        assert_eq!(shortened("abcdefghij", 5), "ab…ij");
        assert_eq!(shortened(&"é".repeat(10_000), 41).chars().count(), 41);
        assert_eq!(visible("a\nb\u{0}\u{202e}"), "a␊b␀\u{fffd}");
    }
}
