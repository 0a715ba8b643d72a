//! Durations on the command line.

use anyhow::{Context, ensure};
use std::time::Duration;

/// Parses `90`, `90s`, `15m` or `2h`, fractions included.
pub(super) fn parse(text: &str) -> anyhow::Result<Duration> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let seconds = match unit {
        "h" => 3600.0,
        "m" => 60.0,
        _ => 1.0,
    };
    let wrong = || format!("{text:?} is not a duration; write 90s, 15m or 2h");
    let number: f64 = number.trim().parse().ok().with_context(wrong)?;
    let duration = Duration::try_from_secs_f64(number * seconds).ok().with_context(wrong)?;
    ensure!(!duration.is_zero(), wrong());
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_minutes_and_hours_are_parsed() {
        let seconds = |text: &str| parse(text).unwrap().as_secs_f64();
        assert_eq!(
            [seconds("90"), seconds("1.5m"), seconds("2h"), seconds("3 s")],
            [90.0, 90.0, 7200.0, 3.0]
        );
        for wrong in ["", "h", "-1s", "0", "nan", "1e30h", "ms"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
