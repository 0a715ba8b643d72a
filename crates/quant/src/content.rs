//! Comparison of tensors by content: equal ones, and matrices of which one is the transpose of the other. A hash of some of the
//! elements finds the candidates.

use intact8_ir::Tensor;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How many elements are hashed.
const N_HASHED: usize = 64;

/// A hash of type, shape and some elements; `None` for tensors that are not plain numbers. With `is_transposed`, that of the
/// transpose of a matrix.
pub(crate) fn sampled_hash(tensor: &Tensor, is_transposed: bool) -> Option<u64> {
    let bytes = tensor.as_bytes()?;
    let shape = tensor.shape();
    let (n_rows, n_columns) = if is_transposed { matrix(tensor)? } else { (1, tensor.len()) };
    let mut hasher = DefaultHasher::new();
    tensor.dtype().hash(&mut hasher);
    if is_transposed {
        [n_columns, n_rows].hash(&mut hasher)
    } else {
        shape.hash(&mut hasher)
    }
    let size = bytes.len() / tensor.len().max(1);
    let step = tensor.len().div_ceil(N_HASHED).max(1);
    for element in (0..tensor.len()).step_by(step) {
        // The element of the transpose, whose rows have `n_rows` elements.
        let element = if is_transposed { element % n_rows * n_columns + element / n_rows } else { element };
        bytes[element * size..][..size].hash(&mut hasher);
    }
    Some(hasher.finish())
}

/// Whether two tensors have the same type, shape and bits.
pub(crate) fn are_equal(one: &Tensor, other: &Tensor) -> bool {
    let is_alike = one.dtype() == other.dtype() && one.shape() == other.shape();
    is_alike
        && match (one.as_bytes(), other.as_bytes()) {
            _ if one.address() == other.address() => true,
            (Some(one), Some(other)) => one == other,
            _ => one == other,
        }
}

/// Whether each of two matrices of plain numbers is the transpose of the other.
pub(crate) fn are_transposes(one: &Tensor, other: &Tensor) -> bool {
    let (Some((n_rows, n_columns)), Some(shape)) = (matrix(one), matrix(other)) else { return false };
    if one.dtype() != other.dtype() || shape != (n_columns, n_rows) {
        return false;
    }
    let (Some(bytes), Some(others)) = (one.as_bytes(), other.as_bytes()) else { return false };
    let size = bytes.len() / one.len().max(1);
    bytes.chunks_exact(size.max(1)).enumerate().all(|(element, bytes)| {
        let transposed = element % n_columns * n_rows + element / n_columns;
        *bytes == others[transposed * size..][..size]
    })
}

/// The transpose of a matrix; `None` for other tensors.
pub(crate) fn transposed(tensor: &Tensor) -> Option<Tensor> {
    let (n_rows, n_columns) = matrix(tensor)?;
    let (bytes, size) = (tensor.to_le_bytes(), tensor.dtype().byte_size());
    let element = |row: usize, column: usize| &bytes[(row * n_columns + column) * size..][..size];
    let elements = (0..n_columns).flat_map(|column| (0..n_rows).map(move |row| (row, column)));
    let transposed: Vec<u8> = elements.flat_map(|(row, column)| element(row, column)).copied().collect();
    Tensor::from_le_bytes(tensor.dtype(), &[n_columns, n_rows], &transposed).ok()
}

fn matrix(tensor: &Tensor) -> Option<(usize, usize)> {
    match *tensor.shape() {
        [n_rows, n_columns] => Some((n_rows, n_columns)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_and_its_transpose_have_one_hash() {
        let (n_rows, n_columns) = (30, 70);
        let value = |row: usize, column: usize| (row * 1000 + column) as i16;
        let one = (0..n_rows * n_columns).map(|idx| value(idx / n_columns, idx % n_columns)).collect();
        let other = (0..n_rows * n_columns).map(|idx| value(idx % n_rows, idx / n_rows)).collect();
        let (one, other) = (Tensor::new(&[n_rows, n_columns], one), Tensor::new(&[n_columns, n_rows], other));
        assert!(are_equal(&transposed(&one).unwrap(), &other));
        assert!(are_transposes(&one, &other) && are_transposes(&other, &one) && !are_transposes(&one, &one));
        assert_eq!(sampled_hash(&one, true), sampled_hash(&other, false));
        assert_eq!(sampled_hash(&other, true), sampled_hash(&one, false));
        assert_ne!(sampled_hash(&one, false), sampled_hash(&other, false));
        let mut changed = other.clone();
        changed.values_mut::<i16>().unwrap()[5] = -1;
        assert!(
            !are_transposes(&one, &changed)
                && !are_equal(&other, &changed)
                && are_equal(&other, &other.clone())
        );
    }
}
