//! Scratch memory for kernels: aligned to cache lines, and reused by each thread.
//! Not a container: the elements are unspecified until they are written.

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

    /// Resizes to exactly `len` elements with unspecified values.
    pub(crate) fn resize(&mut self, len: usize) {
        let slack = CACHE_LINE / size_of::<T>();
        if self.storage.len() < len + slack {
            self.storage = vec![T::default(); len + slack];
            // Without alignment the kernels are slower, but correct.
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
    /// An empty buffer: the initial value of a thread-local one.
    pub(crate) const EMPTY: Self = AlignedBuffer { storage: Vec::new(), start: 0, len: 0 };
}

impl<T> Default for AlignedBuffer<T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// A buffer for each thread, which keeps its allocation between calls.
pub(crate) type ThreadBuffer<T> = std::thread::LocalKey<Cell<AlignedBuffer<T>>>;

/// Calls `use_buffer` with `len` unspecified elements of this thread's buffer.
///
/// A nested use of the same buffer is safe: it finds an empty buffer and allocates.
pub(crate) fn with_scratch<T: Copy + Default, R>(
    thread_buffer: &'static ThreadBuffer<T>,
    len: usize,
    use_buffer: impl FnOnce(&mut [T]) -> R,
) -> R {
    let mut buffer = thread_buffer.take();
    buffer.resize(len);
    let result = use_buffer(buffer.as_mut_slice());
    thread_buffer.set(buffer);
    result
}
