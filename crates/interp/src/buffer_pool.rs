//! The buffer pool: memory of tensors that a run no longer needs, for its next tensors and those of the next run.

use intact8_ir::{Element, Tensor, with_element};
use std::any::Any;
use std::cell::RefCell;

/// The largest number of vectors in the pool.
const MOST: usize = 8;

/// The largest number of bytes that a pool keeps between two runs.
const MOST_BYTES_BETWEEN_RUNS: usize = 64 << 20;

/// Vectors without uses.
#[derive(Default)]
pub(crate) struct BufferPool(RefCell<Vec<Unused>>);

/// A vector without uses.
struct Unused {
    vector: Box<dyn Any + Send>,
    n_bytes: usize,
}

impl BufferPool {
    /// A vector of `len` elements with unspecified values: the smallest one that is large enough, if at least half of
    /// it is used.
    pub(crate) fn take<T: Element>(&self, len: usize) -> Option<Vec<T>> {
        let mut vector = self.take_at_least(len)?;
        vector.resize(len, T::default());
        Some(vector)
    }

    /// A vector of `len` or more elements with unspecified values, as [`take`](Self::take) chooses it.
    pub(crate) fn take_at_least<T: Element>(&self, len: usize) -> Option<Vec<T>> {
        let mut vectors = self.0.borrow_mut();
        let capacity = |unused: &Unused| unused.vector.downcast_ref::<Vec<T>>().map(Vec::capacity);
        let fits = |capacity: &usize| (len..=2 * len).contains(capacity);
        let capacities =
            vectors.iter().enumerate().filter_map(|(idx, unused)| Some((capacity(unused)?, idx)));
        let (_, idx) = capacities.filter(|(capacity, _)| fits(capacity)).min()?;
        let mut vector = *vectors.swap_remove(idx).vector.downcast::<Vec<T>>().ok()?;
        if vector.len() < len {
            vector.resize(len, T::default());
        }
        Some(vector)
    }

    /// A vector without elements and with room for `len`.
    pub(crate) fn empty<T: Element>(&self, len: usize) -> Vec<T> {
        let mut vector = self.take_at_least(len).unwrap_or_default();
        vector.clear();
        vector.reserve(len);
        vector
    }

    /// Adds a vector to the pool, unless it is small; if the pool is full, the oldest one is freed.
    pub(crate) fn keep<T: Element>(&self, vector: Vec<T>) {
        const LEAST_BYTES: usize = 4096;
        let n_bytes = vector.capacity() * size_of::<T>();
        if n_bytes >= LEAST_BYTES {
            let mut vectors = self.0.borrow_mut();
            if vectors.len() == MOST {
                vectors.remove(0);
            }
            vectors.push(Unused { vector: Box::new(vector), n_bytes });
        }
    }

    /// Frees the oldest vectors beyond the memory that may be kept between runs.
    pub(crate) fn shrink(&self) {
        let mut vectors = self.0.borrow_mut();
        let mut n_bytes = vectors.iter().map(|unused| unused.n_bytes).sum::<usize>();
        while n_bytes > MOST_BYTES_BETWEEN_RUNS {
            n_bytes -= vectors.remove(0).n_bytes;
        }
    }

    /// Adds the elements of a tensor to the pool, unless they are shared.
    pub(crate) fn add_tensor(&self, tensor: Tensor) {
        with_element!(tensor.dtype(), T => {
            if let Some(values) = tensor.into_unshared_vector::<T>() {
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

    #[test]
    fn a_shortened_vector_is_used_whole_again() {
        let buffer_pool = BufferPool::default();
        buffer_pool.keep(vec![1.0f32; 3000]);
        let short = buffer_pool.take::<f32>(1500).unwrap();
        buffer_pool.keep(short);
        assert_eq!(buffer_pool.take::<f32>(3000).map(|vector| vector.len()), Some(3000));
    }

    #[test]
    fn memory_between_runs_is_bounded() {
        let buffer_pool = BufferPool::default();
        buffer_pool.keep(vec![1u8; MOST_BYTES_BETWEEN_RUNS]);
        buffer_pool.keep(vec![2u8; 5000]);
        buffer_pool.shrink();
        assert!(buffer_pool.take::<u8>(MOST_BYTES_BETWEEN_RUNS).is_none());
        assert!(buffer_pool.take::<u8>(5000).is_some());
    }
}
