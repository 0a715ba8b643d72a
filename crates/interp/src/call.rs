//! One execution of a kernel: its operands, and where it gets memory.

use crate::context::Context;
use crate::data::Data;
use crate::room::n_elements;
use intact8_ir::{Element, Error, Result, Tensor};
use smallvec::SmallVec;

/// The operands of a kernel, by input slot, and the run that it is part of.
///
/// An operand that nobody needs afterwards is owned here alone, so that [`Call::take`] and a write to it need no copy.
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

    /// The operand itself, taken out of its slot.
    pub(crate) fn take(&mut self, slot: usize) -> Result<Tensor> {
        self.take_data(slot)?.into_tensor()
    }

    /// The operand itself, whatever it is.
    pub(crate) fn take_data(&mut self, slot: usize) -> Result<Data> {
        self.operands.get_mut(slot).and_then(Option::take).ok_or_else(|| missing(slot))
    }

    /// Checks that something of that shape may be made of `T`, and returns its number of elements.
    pub(crate) fn reserve<T>(&self, shape: &[usize]) -> Result<usize> {
        let n_elements = n_elements(shape)?;
        let Some(n_bytes) = n_elements.checked_mul(size_of::<T>()) else {
            return Err(Error::limit(format!("a tensor of shape {shape:?} can't be addressed")));
        };
        self.context.reserve(n_bytes as u64)?;
        Ok(n_elements)
    }

    /// Elements for a tensor of that shape, all of them the default.
    pub(crate) fn zeros<T: Element>(&self, shape: &[usize]) -> Result<Vec<T>> {
        Ok(vec![T::default(); self.reserve::<T>(shape)?])
    }

    /// Elements for a tensor of that shape, whatever they hold: for those who write all of them.
    pub(crate) fn unset<T: Element>(&self, shape: &[usize]) -> Result<Vec<T>> {
        let n_elements = self.reserve::<T>(shape)?;
        Ok(self.context.spare.take(n_elements).unwrap_or_else(|| vec![T::default(); n_elements]))
    }
}

fn missing(slot: usize) -> Error {
    Error::invalid_model(format!("operand {slot} is missing"))
}
