//! Samples one after the other: rows of any lengths, and tensors stacked along an axis.

use intact8_ir::{Error, Result, Tensor, with_element};
use std::borrow::Cow;

/// Rows of values, one for each sample. Their lengths may differ.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows<T> {
    values: Vec<T>,
    /// The end of each row in the values.
    ends: Vec<usize>,
}

impl<T: Clone> Rows<T> {
    /// Adds `n` rows of the same length.
    pub(crate) fn extend(&mut self, values: &[T], n: usize) {
        let (start, length) = (self.values.len(), values.len() / n.max(1));
        self.values.extend_from_slice(values);
        self.ends.extend((1..=n).map(|idx| start + idx * length));
    }

    /// Whether there are no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The rows of some samples, one after the other; nothing if there are no rows.
    pub(crate) fn of(&self, samples: &[usize]) -> Cow<'_, [T]> {
        let row_of = |&sample: &usize| {
            let start = sample.checked_sub(1).map_or(0, |before| self.ends[before]);
            &self.values[start..self.ends[sample]]
        };
        match self.is_empty() {
            true => Cow::Borrowed(&[]),
            false => Cow::Owned(samples.iter().flat_map(row_of).cloned().collect()),
        }
    }
}

/// Tensors stacked along an axis, in which alone they may differ.
///
/// # Errors
/// If they differ in the type or in another dimension, or there are none.
pub fn stacked(tensors: &[Tensor], axis: usize) -> Result<Tensor> {
    let [first, others @ ..] = tensors else { return Err(Error::invalid_data("there are no batches")) };
    let around = |tensor: &Tensor| {
        let shape = tensor.shape();
        (
            tensor.dtype(),
            shape.get(..axis).map(<[usize]>::to_vec),
            shape.get(axis + 1..).map(<[usize]>::to_vec),
        )
    };
    let fits = |other: &Tensor| other.shape().len() > axis && around(other) == around(first);
    if first.shape().len() <= axis || !others.iter().all(fits) {
        return Err(Error::invalid_data("has different shapes in different batches"));
    }
    if others.is_empty() {
        return Ok(first.clone());
    }
    let mut shape = first.shape().to_vec();
    shape[axis] = tensors.iter().map(|tensor| tensor.shape()[axis]).sum();
    let n_outer: usize = shape[..axis].iter().product();
    let inner: usize = shape[axis + 1..].iter().product();
    Ok(with_element!(first.dtype(), T => {
        let mut values: Vec<T> = Vec::with_capacity(shape.iter().product());
        for outer in 0..n_outer {
            for tensor in tensors {
                let length = tensor.shape()[axis] * inner;
                values.extend_from_slice(&tensor.values::<T>()?[outer * length..(outer + 1) * length]);
            }
        }
        Tensor::new(&shape, values)
    }))
}

/// A tensor without the repeated samples that filled a batch of `n_samples` to one of `n_fed`, which are along `axis`. A tensor of another
/// length there is returned as it is.
pub fn trimmed(tensor: &Tensor, axis: usize, n_fed: usize, n_samples: usize) -> Tensor {
    if tensor.shape().get(axis) != Some(&n_fed) || n_fed == n_samples {
        return tensor.clone();
    }
    let n_outer: usize = tensor.shape()[..axis].iter().product();
    let mut shape = tensor.shape().to_vec();
    shape[axis] = n_samples;
    let inner: usize = shape[axis + 1..].iter().product();
    with_element!(tensor.dtype(), T => {
        let values = tensor.values::<T>().expect("the type is the tensor's own");
        let rows = (0..n_outer).flat_map(|outer| &values[outer * n_fed * inner..][..n_samples * inner]);
        Tensor::new(&shape, rows.cloned().collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_stacked_along_an_axis() {
        let (a, b) = (Tensor::new(&[2, 1], vec![1i64, 2]), Tensor::new(&[2, 2], vec![3i64, 4, 5, 6]));
        let found = stacked(&[a.clone(), b.clone()], 1).unwrap();
        assert_eq!(found, Tensor::new(&[2, 3], vec![1i64, 3, 4, 2, 5, 6]));
        assert!(stacked(&[a, b], 0).is_err());
        assert!(stacked(&[Tensor::scalar(1i64), Tensor::scalar(2i64)], 0).is_err());
    }

    #[test]
    fn rows_have_lengths_of_their_own() {
        let mut rows = Rows::default();
        rows.extend(&[1, 2, 3, 4], 2);
        rows.extend(&[5, 6, 7], 1);
        assert_eq!(*rows.of(&[2, 0]), [5, 6, 7, 1, 2]);
        assert!(Rows::<i64>::default().of(&[3]).is_empty());
    }
}
