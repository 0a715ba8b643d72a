//! One execution of a kernel: its operands, and its allocation of memory.

use crate::context::Context;
use crate::data::Data;
use crate::room::n_elements;
use intact8_ir::{Element, Error, Result, Tensor};
use smallvec::SmallVec;

/// The operands of a kernel, by input slot, and the run to which it belongs.
///
/// An operand without later uses is not shared, so that [`Call::take`] and a write to it need no copy.
pub(crate) struct Call<'c, 't> {
    pub(crate) operands: SmallVec<[Option<Data>; 4]>,
    pub(crate) context: &'c Context<'t>,
}

impl Call<'_, '_> {
    /// The operand, if there is one.
    pub(crate) fn optional(&self, slot: usize) -> Result<Option<&Tensor>> {
        self.operands.get(slot).and_then(Option::as_ref).map(Data::as_tensor).transpose()
    }

    /// The operand.
    pub(crate) fn tensor(&self, slot: usize) -> Result<&Tensor> {
        self.optional(slot)?.ok_or_else(|| missing(slot))
    }

    /// The operand's elements.
    pub(crate) fn values<T: Element>(&self, slot: usize) -> Result<&[T]> {
        self.tensor(slot)?.values()
    }

    /// Takes the operand, which must be a tensor, out of its slot.
    pub(crate) fn take(&mut self, slot: usize) -> Result<Tensor> {
        self.take_data(slot)?.into_tensor()
    }

    /// Takes the operand, of any kind, out of its slot.
    pub(crate) fn take_data(&mut self, slot: usize) -> Result<Data> {
        self.operands.get_mut(slot).and_then(Option::take).ok_or_else(|| missing(slot))
    }

    /// Checks that the limits allow elements of type `T` with that shape, and returns their number.
    pub(crate) fn reserve<T>(&self, shape: &[usize]) -> Result<usize> {
        let n_elements = n_elements(shape)?;
        let Some(n_bytes) = n_elements.checked_mul(size_of::<T>()) else {
            return Err(Error::limit(format!("a tensor of shape {shape:?} exceeds the address space")));
        };
        self.context.reserve(n_bytes as u64)?;
        Ok(n_elements)
    }

    /// Elements for a tensor of the shape, set to the default.
    pub(crate) fn zeros<T: Element>(&self, shape: &[usize]) -> Result<Vec<T>> {
        Ok(vec![T::default(); self.reserve::<T>(shape)?])
    }

    /// Elements for a tensor of the shape with unspecified values; the caller writes all of them.
    pub(crate) fn unset<T: Element>(&self, shape: &[usize]) -> Result<Vec<T>> {
        let n_elements = self.reserve::<T>(shape)?;
        Ok(self.context.buffer_pool.take(n_elements).unwrap_or_else(|| vec![T::default(); n_elements]))
    }

    /// As [`unset`](Self::unset), from the start of a cache line on, for kernels that are faster on those.
    pub(crate) fn aligned<T: Element>(&self, shape: &[usize]) -> Result<Aligned<T>> {
        const CACHE_LINE: usize = 64;
        let len = self.reserve::<T>(shape)?;
        let slack = CACHE_LINE / size_of::<T>();
        let vector = self.context.buffer_pool.take_at_least(len + slack);
        let vector = vector.unwrap_or_else(|| vec![T::default(); len + slack]);
        Ok(Aligned { start: vector.as_ptr().align_offset(CACHE_LINE).min(slack), vector, len })
    }
}

/// The elements of a result, a part of a vector.
pub(crate) struct Aligned<T> {
    vector: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Element> Aligned<T> {
    /// The elements to write to.
    pub(crate) fn values(&mut self) -> &mut [T] {
        &mut self.vector[self.start..self.start + self.len]
    }

    /// A tensor of the shape for which they were made.
    pub(crate) fn into_tensor(self, shape: &[usize]) -> Tensor {
        Tensor::part_of(shape, self.vector, self.start)
    }
}

fn missing(slot: usize) -> Error {
    Error::invalid_model(format!("operand {slot} is missing"))
}
