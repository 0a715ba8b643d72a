//! The memory of a batch, which a model determines if it fixes the batch size.

use super::{Feed, Group};
use intact8_ir::{Error, Result};

impl Feed {
    /// Checks that the inputs of a batch need at most `limit` bytes: a model may fix a batch size of any number.
    ///
    /// # Errors
    /// If they need more.
    pub fn check_memory(&self, limit: u64) -> Result<()> {
        let is_too_large = |group: &&Group| self.batch_bytes(group).is_none_or(|bytes| bytes > limit);
        let Some(group) = self.groups.iter().find(is_too_large) else { return Ok(()) };
        let needed = match self.batch_bytes(group) {
            Some(bytes) => format!("{bytes} bytes"),
            None => "more bytes than can be counted".to_owned(),
        };
        Err(Error::limit(format!(
            "a batch of {} samples needs {needed}, but the limit is {limit}; use a smaller batch, or raise --max-memory",
            group.batch
        )))
    }

    /// The bytes of the inputs for a batch; `None` if they are more than can be counted.
    fn batch_bytes(&self, group: &Group) -> Option<u64> {
        // A batch without a fixed size has no more samples than there are.
        let batch = if self.is_fixed { group.batch } else { group.batch.min(group.n_samples) };
        let arrays = &self.part_of(group.first).arrays;
        let bytes = arrays.iter().zip(&self.types).zip(&self.axes.inputs).map(|((array, ty), &axis)| {
            let dims =
                array.shape.iter().enumerate().map(|(idx, &dim)| if Some(idx) == axis { batch } else { dim });
            let n_values = dims.map(|dim| dim as u64).try_fold(1u64, u64::checked_mul)?;
            let n_bytes = ty.as_ref().map_or(size_of::<f32>(), |ty| ty.dtype.byte_size());
            n_values.checked_mul(n_bytes as u64)
        });
        bytes.into_iter().try_fold(0u64, |sum, bytes| sum.checked_add(bytes?))
    }
}
