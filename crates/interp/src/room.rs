//! Checks of shapes that come from data, before any allocation.

use crate::call::Call;
use intact8_ir::{DType, Error, Result, Tensor};

/// Integers as a shape.
pub(crate) fn shape_of(dims: &[i64]) -> Result<Vec<usize>> {
    let dim = |&dim: &i64| {
        usize::try_from(dim)
            .map_err(|_| Error::invalid_data(format!("{dims:?} is no shape: {dim} is negative")))
    };
    dims.iter().map(dim).collect()
}

/// The number of elements of a shape. A shape whose nonzero dimensions exceed the address space is an error too.
pub(crate) fn n_elements(shape: &[usize]) -> Result<usize> {
    let dims = shape.iter().filter(|&&dim| dim != 0);
    let product = dims.copied().try_fold(1usize, usize::checked_mul).filter(|&n| n <= isize::MAX as usize);
    let product = product
        .ok_or_else(|| Error::limit(format!("a tensor of shape {shape:?} exceeds the address space")))?;
    Ok(if shape.contains(&0) { 0 } else { product })
}

/// Checks that the limits allow text of these lengths, which the size of a tensor of strings does not include.
pub(crate) fn reserve_text(call: &Call<'_, '_>, lengths: impl Iterator<Item = usize>) -> Result<()> {
    call.context.reserve(lengths.fold(0u64, |sum, length| sum.saturating_add(length as u64)))
}

/// The elements of a tensor of strings; empty for other types.
pub(crate) fn texts(tensor: &Tensor) -> &[String] {
    match tensor.dtype() {
        DType::Str => tensor.values().unwrap_or_default(),
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_with_zeros_are_checked_without_them() {
        assert_eq!(n_elements(&[2, 3]).unwrap(), 6);
        assert_eq!(n_elements(&[2, 0, 3]).unwrap(), 0);
        assert!(n_elements(&[0, 1 << 40, 1 << 40]).is_err());
        assert!(n_elements(&[1 << 32, 1 << 32]).is_err());
        assert!(shape_of(&[1, -1]).is_err());
    }
}
