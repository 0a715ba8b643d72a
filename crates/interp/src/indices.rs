//! Integer operands: indices, positions and lengths, in i32 or i64.

use intact8_ir::{DType, Error, Result, Tensor};
use std::borrow::Cow;

/// The elements as i64.
pub(crate) fn integers(tensor: &Tensor) -> Result<Cow<'_, [i64]>> {
    match tensor.dtype() {
        DType::I32 => Ok(tensor.values::<i32>()?.iter().map(|&value| i64::from(value)).collect()),
        _ => Ok(Cow::Borrowed(tensor.values::<i64>()?)),
    }
}

/// The only element.
pub(crate) fn integer(tensor: &Tensor) -> Result<i64> {
    match integers(tensor)?.as_ref() {
        [value] => Ok(*value),
        values => Err(Error::invalid_data(format!("expected one integer, found {}", values.len()))),
    }
}

/// A normalized index into `len` elements; negative ones count from the end.
pub(crate) fn position(index: i64, len: usize) -> Result<usize> {
    let from_front = if index < 0 { index.saturating_add_unsigned(len as u64) } else { index };
    let found = usize::try_from(from_front).ok().filter(|&position| position < len);
    found.ok_or_else(|| Error::invalid_data(format!("index {index} is out of range for {len} elements")))
}
