//! Scratch memory for kernels: cache-line aligned, and kept by each thread between uses.
//! Not a container: contents are unspecified until written.

use std::cell::Cell;

/// Elements that start on a cache line, so that vector loads of packed panels never straddle two.
#[derive(Debug)]
pub(crate) struct AlignedBuffer<T> {
    storage: Vec<T>,
    start: usize,
    len: usize,
}

const CACHE_LINE: usize = 64;

impl<T: Copy + Default> AlignedBuffer<T> {
    pub(crate) fn new(len: usize) -> Self {
        let mut buffer = Self::EMPTY;
        buffer.resize(len);
        buffer
    }

    /// Makes room for exactly `len` elements; what they hold is unspecified.
    pub(crate) fn resize(&mut self, len: usize) {
        let slack = CACHE_LINE / size_of::<T>();
        if self.storage.len() < len + slack {
            self.storage = vec![T::default(); len + slack];
            // An allocation that cannot be aligned is slower, not wrong.
            self.start = self.storage.as_ptr().align_offset(CACHE_LINE).min(slack);
        }
        self.len = len;
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        &self.storage[self.start..self.start + self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.storage[self.start..self.start + self.len]
    }
}

impl<T> AlignedBuffer<T> {
    /// Room for nothing, for the place where a thread keeps its buffer.
    pub(crate) const EMPTY: Self = AlignedBuffer { storage: Vec::new(), start: 0, len: 0 };
}

impl<T> Default for AlignedBuffer<T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// A place where each thread keeps a buffer between calls.
pub(crate) type Kept<T> = std::thread::LocalKey<Cell<AlignedBuffer<T>>>;

/// Lends `use_buffer` a slice of `len` unspecified elements out of what this thread keeps at `place`.
///
/// A nested use of the same place is safe: it finds the place empty and allocates.
pub(crate) fn with_scratch<T: Copy + Default, R>(
    place: &'static Kept<T>,
    len: usize,
    use_buffer: impl FnOnce(&mut [T]) -> R,
) -> R {
    let mut buffer = place.take();
    buffer.resize(len);
    let result = use_buffer(buffer.as_mut_slice());
    place.set(buffer);
    result
}
