//! Flags as text: a hexadecimal digit for each four, the first one its highest bit.

use crate::prototext::Field;
use intact8_ir::{Error, Result};

/// The digits.
pub(super) fn written(flags: &[bool]) -> String {
    let digit =
        |flags: &[bool]| (0..4).fold(0, |digit, idx| digit << 1 | u8::from(flags.get(idx) == Some(&true)));
    flags.chunks(4).map(|flags| format!("{:x}", digit(flags))).collect()
}

/// The flags of digits: four for each digit.
pub(super) fn read(field: &Field) -> Result<Vec<bool>> {
    let mut flags = Vec::new();
    for digit in field.text()?.chars() {
        let Some(value) = digit.to_digit(16) else {
            let message = format!("rounded_up must be hexadecimal digits, found {digit:?}");
            return Err(Error::invalid_config(message).at(format!("line {}", field.line)));
        };
        flags.extend((0..4).rev().map(|bit| value >> bit & 1 == 1));
    }
    Ok(flags)
}
