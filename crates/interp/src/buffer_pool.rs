//! The buffer pool: memory of tensors that a run no longer needs, for its next tensors.

use intact8_ir::{Element, Tensor, with_element};
use std::any::Any;
use std::cell::RefCell;

/// The largest number of vectors in the pool.
const MOST: usize = 8;

/// Vectors without uses.
#[derive(Default)]
pub(crate) struct BufferPool(RefCell<Vec<Box<dyn Any>>>);

impl BufferPool {
    /// A vector of `len` elements with unspecified values: the smallest one that is large enough, if at least half of
    /// it is used.
    pub(crate) fn take<T: Element>(&self, len: usize) -> Option<Vec<T>> {
        let mut vectors = self.0.borrow_mut();
        let length = |vector: &Box<dyn Any>| vector.downcast_ref::<Vec<T>>().map(Vec::len);
        let fits = |length: &usize| (len..=2 * len).contains(length);
        let lengths = vectors.iter().enumerate().filter_map(|(idx, vector)| Some((length(vector)?, idx)));
        let (_, idx) = lengths.filter(|(length, _)| fits(length)).min()?;
        let mut vector = *vectors.swap_remove(idx).downcast::<Vec<T>>().ok()?;
        vector.truncate(len);
        Some(vector)
    }

    /// Adds a vector to the pool, unless it is small; if the pool is full, the oldest one is freed.
    pub(crate) fn keep<T: Element>(&self, vector: Vec<T>) {
        const LEAST_BYTES: usize = 4096;
        if size_of_val(&vector[..]) >= LEAST_BYTES {
            let mut vectors = self.0.borrow_mut();
            if vectors.len() == MOST {
                vectors.remove(0);
            }
            vectors.push(Box::new(vector));
        }
    }

    /// Adds the elements of a tensor to the pool, unless they are shared.
    pub(crate) fn add_tensor(&self, tensor: Tensor) {
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
    fn a_vector_of_suitable_size_is_taken_once() {
        let buffer_pool = BufferPool::default();
        buffer_pool.keep(vec![1.0f32; 3000]);
        buffer_pool.keep(vec![2.0f32; 2000]);
        buffer_pool.keep(vec![3i8; 100]);
        let shared = Tensor::new(&[2000], vec![4i32; 2000]);
        buffer_pool.add_tensor(shared.clone());
        assert!(buffer_pool.take::<i32>(2000).is_none() && buffer_pool.take::<i8>(100).is_none());
        assert!(buffer_pool.take::<f32>(900).is_none() && buffer_pool.take::<f32>(3001).is_none());
        assert_eq!(buffer_pool.take::<f32>(1500), Some(vec![2.0; 1500]));
        assert_eq!(buffer_pool.take::<f32>(1500), Some(vec![1.0; 1500]));
        assert!(buffer_pool.take::<f32>(1500).is_none());
        buffer_pool.add_tensor(shared);
        assert_eq!(buffer_pool.take::<i32>(2000), Some(vec![4; 2000]));
    }
}
