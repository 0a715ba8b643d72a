//! The outputs of a model for some samples, as metrics receive them.

use super::numbers;
use intact8_ir::{Error, Result, Tensor, with_element};
use std::borrow::Cow;

/// The outputs of a model for some samples, with their labels and targets.
pub(crate) struct Batch<'a> {
    /// The number of samples.
    pub(crate) n: usize,
    /// The shape of the first output with the samples first; its first dimension may be larger than `n`.
    pub(crate) shape: Vec<usize>,
    /// The values of the first output for these samples.
    pub(crate) output: Cow<'a, [f32]>,
    /// The labels, sample by sample.
    pub(crate) labels: Cow<'a, [i64]>,
    /// The targets, sample by sample.
    pub(crate) targets: Cow<'a, [f32]>,
}

impl<'a> Batch<'a> {
    /// The outputs of a model for `n` samples, still without labels and targets. `axis` is the dimension of the first output that
    /// counts samples; `None` if the whole output is that of one sample.
    pub(crate) fn of(outputs: &'a [Tensor], n: usize, axis: Option<usize>) -> Result<Batch<'a>> {
        let output =
            outputs.first().ok_or_else(|| Error::invalid_data("the model has no output that is a tensor"))?;
        let shape = output.shape();
        let n_rows = axis.map_or(Some(1), |axis| shape.get(axis).copied());
        if n_rows.is_none_or(|n_rows| n_rows < n) {
            let message = format!(
                "metrics require an output with a row for each of {n} samples, found the shape {shape:?}; state the \
                 --batch-axis, which is none if each array is one sample"
            );
            return Err(Error::invalid_data(message));
        }
        match axis {
            Some(0) => Batch::of_rows(output, n),
            Some(axis) => Ok(Batch::of_rows(&samples_first(output, axis)?, n)?.into_owned()),
            None => {
                let one =
                    output.reshaped(&[&[1], shape].concat()).expect("a dimension of 1 adds no elements");
                Ok(Batch::of_rows(&one, n)?.into_owned())
            }
        }
    }

    /// The first `n` rows of an output.
    fn of_rows(output: &'a Tensor, n: usize) -> Result<Batch<'a>> {
        let shape = output.shape().to_vec();
        let n_values = output.len() / shape[0].max(1) * n;
        if n_values == 0 {
            return Err(Error::invalid_data("the model's output is empty"));
        }
        let output = match numbers(output)? {
            Cow::Borrowed(values) => Cow::Borrowed(&values[..n_values]),
            Cow::Owned(mut values) => {
                values.truncate(n_values);
                Cow::Owned(values)
            }
        };
        Ok(Batch { n, shape, output, labels: Cow::Borrowed(&[]), targets: Cow::Borrowed(&[]) })
    }

    fn into_owned(self) -> Batch<'static> {
        let Batch { n, shape, output, labels, targets } = self;
        let [output, targets] = [output, targets].map(|values| Cow::Owned(values.into_owned()));
        Batch { n, shape, output, labels: Cow::Owned(labels.into_owned()), targets }
    }

    /// The rows of output and targets, which must have the same length.
    pub(super) fn pairs(&self) -> Result<impl Iterator<Item = (&[f32], &[f32])>> {
        if self.output.len() != self.targets.len() {
            let [found, expected] = [self.output.len(), self.targets.len()].map(|len| len / self.n);
            return Err(Error::invalid_data(format!(
                "the model returns {found} values for a sample, and the targets have {expected}"
            )));
        }
        let row = self.output.len() / self.n;
        Ok(self.output.chunks_exact(row).zip(self.targets.chunks_exact(row)))
    }
}

/// A tensor with an axis moved to the front.
fn samples_first(tensor: &Tensor, axis: usize) -> Result<Tensor> {
    Ok(with_element!(tensor.dtype(), T => {
        let mut view = tensor.view::<T>()?;
        (0..axis).rev().for_each(|idx| view.swap_axes(idx, idx + 1));
        Tensor::from_array(&view)
    }))
}
