//! Shapes that come from data: checked before anything is made of them.

use crate::call::Call;
use intact8_ir::{DType, Error, Result, Tensor};

/// The shape that integers stand for.
pub(crate) fn shape_of(dims: &[i64]) -> Result<Vec<usize>> {
    let dim = |&dim: &i64| {
        usize::try_from(dim)
            .map_err(|_| Error::invalid_data(format!("{dims:?} is no shape: {dim} is negative")))
    };
    dims.iter().map(dim).collect()
}

/// The number of elements of a shape. A shape that could not be addressed without its zeros is an error too.
pub(crate) fn n_elements(shape: &[usize]) -> Result<usize> {
    let dims = shape.iter().filter(|&&dim| dim != 0);
    let product = dims.copied().try_fold(1usize, usize::checked_mul).filter(|&n| n <= isize::MAX as usize);
    let product =
        product.ok_or_else(|| Error::limit(format!("a tensor of shape {shape:?} can't be addressed")))?;
    Ok(if shape.contains(&0) { 0 } else { product })
}

/// Checks that so many bytes of text may be made, which the size of a tensor of strings does not tell.
pub(crate) fn reserve_text(call: &Call<'_, '_>, lengths: impl Iterator<Item = usize>) -> Result<()> {
    call.context.reserve(lengths.fold(0u64, |sum, length| sum.saturating_add(length as u64)))
}

/// The elements of a tensor of strings; of others, none.
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
    fn zeros_do_not_hide_what_is_too_large() {
        assert_eq!(n_elements(&[2, 3]).unwrap(), 6);
        assert_eq!(n_elements(&[2, 0, 3]).unwrap(), 0);
        assert!(n_elements(&[0, 1 << 40, 1 << 40]).is_err());
        assert!(n_elements(&[1 << 32, 1 << 32]).is_err());
        assert!(shape_of(&[1, -1]).is_err());
    }
}
