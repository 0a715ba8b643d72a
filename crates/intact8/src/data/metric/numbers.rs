//! Outputs, targets and labels of any type as the numbers that metrics compute with.

use intact8_ir::{Error, Result, Tensor, with_element};
use std::borrow::Cow;

/// The values of a tensor of numbers as f32.
pub(crate) fn numbers(tensor: &Tensor) -> Result<Cow<'_, [f32]>> {
    let dtype = tensor.dtype();
    if let Some(values) = tensor.floats() {
        return Ok(values);
    }
    with_element!(dtype, [I8 U8 I16 U16 I32 U32 I64 U64], T => {
            Ok(Cow::Owned(tensor.values::<T>()?.iter().map(|&value| value as f32).collect()))
        },
        _ => Err(Error::invalid_data(format!("metrics require numbers, found {dtype}"))))
}

/// Labels of any integer type as i64.
pub(crate) fn labels(array: &Tensor) -> Result<Vec<i64>> {
    let dtype = array.dtype();
    with_element!(dtype, [I8 U8 I16 U16 I32 U32 I64], T => {
            Ok(widened(array.values::<T>()?))
        },
        _ => Err(Error::invalid_data(format!("labels must be integers, found {dtype}"))))
}

fn widened<T: Copy + Into<i64>>(labels: &[T]) -> Vec<i64> {
    labels.iter().map(|&label| label.into()).collect()
}
