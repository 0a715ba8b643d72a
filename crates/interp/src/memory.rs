//! The memory of runs at the same time: one limit for all of them together.

use crate::buffer_pool::BufferPool;
use intact8_ir::{Error, Result};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The bytes in use by all runs of an interpreter.
pub(crate) struct SharedMemory {
    limit: u64,
    in_use: AtomicU64,
    /// The pools of runs that have ended, at most as many as have run at once.
    idle_pools: Mutex<Vec<BufferPool>>,
}

impl SharedMemory {
    pub(crate) fn new(limit: u64) -> Arc<SharedMemory> {
        Arc::new(SharedMemory { limit, in_use: AtomicU64::new(0), idle_pools: Mutex::default() })
    }
}

/// The memory of one run, which is a part of the shared memory.
pub(crate) struct RunMemory {
    shared: Arc<SharedMemory>,
    /// The bytes of live tensors.
    alive: Cell<u64>,
    /// The largest reservation of the steps that are running; they hold it until their outputs are counted.
    reserved: Cell<u64>,
}

impl RunMemory {
    pub(crate) fn new(shared: Arc<SharedMemory>) -> RunMemory {
        RunMemory { shared, alive: Cell::new(0), reserved: Cell::new(0) }
    }

    /// The memory of all runs.
    pub(crate) fn shared(&self) -> &SharedMemory {
        &self.shared
    }

    /// Reserves `bytes` until the running step ends, if the limit and the system allow it.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<()> {
        let before = self.reserved.get();
        let more = bytes.saturating_sub(before);
        let others = |in_use: u64| in_use.saturating_sub(before.max(bytes));
        let limit = self.shared.limit;
        let fits = |in_use: u64| {
            let in_use = in_use.checked_add(more)?;
            others(in_use).checked_add(bytes).filter(|&total| total <= limit).map(|_| in_use)
        };
        let reserved = self.shared.in_use.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        if let Err(in_use) = reserved {
            let others = in_use.saturating_sub(before);
            let message =
                format!("needs {bytes} bytes in addition to {others} in use, but the limit is {limit}");
            return Err(Error::limit(message));
        }
        self.reserved.set(before.max(bytes));
        check_available(bytes)
    }

    /// The bytes of the largest reservation.
    pub(crate) fn reserved(&self) -> u64 {
        self.reserved.get()
    }

    /// Resets the largest reservation to an earlier one, when a step ends.
    pub(crate) fn release(&self, reserved: u64) {
        self.shared.change(self.reserved.replace(reserved), reserved);
    }

    /// The bytes of live tensors.
    pub(crate) fn alive(&self) -> u64 {
        self.alive.get()
    }

    /// Sets the bytes of live tensors.
    pub(crate) fn set_alive(&self, bytes: u64) {
        self.shared.change(self.alive.replace(bytes), bytes);
    }
}

impl SharedMemory {
    /// A pool that no run uses.
    pub(crate) fn take_pool(&self) -> BufferPool {
        self.idle_pools.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps a pool for later runs.
    pub(crate) fn keep_pool(&self, pool: BufferPool) {
        pool.shrink();
        self.idle_pools.lock().unwrap_or_else(PoisonError::into_inner).push(pool);
    }

    fn change(&self, before: u64, after: u64) {
        // Wrapping, so that the sum is right whatever the sign of the difference.
        self.in_use.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }
}

impl Drop for RunMemory {
    fn drop(&mut self) {
        self.release(0);
        self.set_alive(0);
    }
}

/// Checks that the system provides a block of memory of that size: without it the process would be aborted. Small blocks are not
/// checked, which costs time and rarely fails.
fn check_available(bytes: u64) -> Result<()> {
    const LARGE: u64 = 256 << 20;
    if bytes < LARGE {
        return Ok(());
    }
    let block = usize::try_from(bytes).ok().map(|bytes| Vec::<u8>::new().try_reserve_exact(bytes));
    match block {
        Some(Ok(())) => Ok(()),
        _ => Err(Error::limit(format!("needs {bytes} bytes, and the system does not provide them"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_at_the_same_time_share_the_limit() {
        let shared = SharedMemory::new(100);
        let (first, second) = (RunMemory::new(shared.clone()), RunMemory::new(shared.clone()));
        first.reserve(60).unwrap();
        assert_eq!(
            second.reserve(50).unwrap_err().to_string(),
            "needs 50 bytes in addition to 60 in use, but the limit is 100"
        );
        second.reserve(40).unwrap();
        // A smaller reservation of the same step is a part of the first.
        first.reserve(30).unwrap();
        first.release(0);
        first.set_alive(10);
        second.reserve(90).unwrap();
        assert!(second.reserve(91).is_err());
        drop(second);
        first.reserve(90).unwrap();
        drop(first);
        assert_eq!(shared.in_use.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn memory_that_the_system_does_not_provide_is_an_error() {
        let run = RunMemory::new(SharedMemory::new(u64::MAX));
        assert!(run.reserve(1 << 62).is_err());
        assert!(run.reserve(u64::MAX).is_err());
    }
}
