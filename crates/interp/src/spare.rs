//! Memory of tensors that a run has done with, for what it makes next: neither cleared nor asked of the system again.

use intact8_ir::{Element, Tensor, with_element};
use std::any::Any;
use std::cell::RefCell;

/// How many vectors are kept.
const MOST: usize = 8;

/// Vectors that nobody reads any more.
#[derive(Default)]
pub(crate) struct Spare(RefCell<Vec<Box<dyn Any>>>);

impl Spare {
    /// A vector of so many elements, whatever they hold: of the vectors that are large enough the smallest, if not more than half
    /// of it were wasted.
    pub(crate) fn take<T: Element>(&self, len: usize) -> Option<Vec<T>> {
        let mut kept = self.0.borrow_mut();
        let length = |vector: &Box<dyn Any>| vector.downcast_ref::<Vec<T>>().map(Vec::len);
        let fits = |length: &usize| (len..=2 * len).contains(length);
        let lengths = kept.iter().enumerate().filter_map(|(idx, vector)| Some((length(vector)?, idx)));
        let (_, idx) = lengths.filter(|(length, _)| fits(length)).min()?;
        let mut vector = *kept.swap_remove(idx).downcast::<Vec<T>>().ok()?;
        vector.truncate(len);
        Some(vector)
    }

    /// Keeps a vector, if it is not a small one; the one that has been kept for longest goes if there are too many.
    pub(crate) fn keep<T: Element>(&self, vector: Vec<T>) {
        const LEAST_BYTES: usize = 4096;
        if size_of_val(&vector[..]) >= LEAST_BYTES {
            let mut kept = self.0.borrow_mut();
            if kept.len() == MOST {
                kept.remove(0);
            }
            kept.push(Box::new(vector));
        }
    }

    /// Keeps what a tensor holds, if nobody shares it.
    pub(crate) fn keep_tensor(&self, tensor: Tensor) {
        with_element!(tensor.dtype(), T => {
            if let Some(values) = tensor.into_unshared_values::<T>() {
                self.keep(values);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_taken_once() {
        let spare = Spare::default();
        spare.keep(vec![1.0f32; 3000]);
        spare.keep(vec![2.0f32; 2000]);
        spare.keep(vec![3i8; 100]);
        let shared = Tensor::new(&[2000], vec![4i32; 2000]);
        spare.keep_tensor(shared.clone());
        assert!(spare.take::<i32>(2000).is_none() && spare.take::<i8>(100).is_none());
        assert!(spare.take::<f32>(900).is_none() && spare.take::<f32>(3001).is_none());
        assert_eq!(spare.take::<f32>(1500), Some(vec![2.0; 1500]));
        assert_eq!(spare.take::<f32>(1500), Some(vec![1.0; 1500]));
        assert!(spare.take::<f32>(1500).is_none());
        spare.keep_tensor(shared);
        assert_eq!(spare.take::<i32>(2000), Some(vec![4; 2000]));
    }
}
