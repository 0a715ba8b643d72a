//! Sizes of memory on the command line.

use anyhow::{Context, ensure};
use intact8::calibrate::MemoryLimit;
use intact8::{LEAST_CALIBRATION_MEMORY, calibration_memory};

/// The memory of calibration: that of `--memory`, or half of the machine's.
pub(crate) fn memory(asked: Option<&str>) -> anyhow::Result<MemoryLimit> {
    let Some(asked) = asked else {
        return Ok(calibration_memory());
    };
    let bytes = parse(asked)?;
    ensure!(bytes >= LEAST_CALIBRATION_MEMORY, "{asked} is too little for calibration; give it at least 64M");
    Ok(MemoryLimit(bytes))
}

/// Parses `64K`, `256M`, `2G` or a number of bytes.
pub(crate) fn parse(text: &str) -> anyhow::Result<usize> {
    let (number, shift) = match text.strip_suffix(['K', 'M', 'G']) {
        Some(number) if text.ends_with('K') => (number, 10),
        Some(number) if text.ends_with('M') => (number, 20),
        Some(number) => (number, 30),
        None => (text, 0),
    };
    let size = number.parse::<usize>().ok().and_then(|number| number.checked_mul(1 << shift));
    size.with_context(|| format!("{text:?} is not a size; write 256M, 2G, or 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_binary_units_are_parsed() {
        let sizes = ["0", "7", "64K", "256M", "2G"].map(|text| parse(text).unwrap());
        assert_eq!(sizes, [0, 7, 64 << 10, 256 << 20, 2 << 30]);
        for wrong in ["", "M", "-1", "1.5G", "99999999999999999999", "99999999999999G", "1 M", "3T"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
