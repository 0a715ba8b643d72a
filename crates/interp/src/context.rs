//! The state of one run: its limits, its use of resources, its observer, and its profiler.

use crate::buffer_pool::BufferPool;
use crate::memory::{RunMemory, SharedMemory};
use crate::profiler::Profiler;
use intact8_ir::{Error, Result, Tap, Tensor, ValueRef};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// The limits of runs. A model that exceeds them gets an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest number of bytes of live tensors, without constants and the inputs of runs: of all runs of a session together,
    /// or of all sessions of an interpreter.
    pub memory: u64,
    /// The largest number of executed nodes; each iteration of a loop counts.
    pub steps: u64,
}

impl Default for Limits {
    /// 16 GiB and 10⁸ steps.
    fn default() -> Limits {
        Limits { memory: 16 << 30, steps: 100_000_000 }
    }
}

/// The state of one run, shared with its subgraphs.
pub(crate) struct Context<'a> {
    limits: Limits,
    memory: RunMemory,
    steps: Cell<u64>,
    tap: Option<RefCell<Tap<'a>>>,
    profiler: Option<RefCell<&'a mut dyn Profiler>>,
    pub(crate) buffer_pool: BufferPool,
}

impl<'a> Context<'a> {
    pub(crate) fn new(limits: Limits, memory: Arc<SharedMemory>, tap: Option<Tap<'a>>) -> Context<'a> {
        Context {
            limits,
            buffer_pool: memory.take_pool(),
            memory: RunMemory::new(memory),
            steps: Cell::new(0),
            tap: tap.map(RefCell::new),
            profiler: None,
        }
    }

    /// The same run, followed by a profiler.
    pub(crate) fn profiled(mut self, profiler: &'a mut dyn Profiler) -> Context<'a> {
        self.profiler = Some(RefCell::new(profiler));
        self
    }

    /// Calls the profiler, if there is one.
    pub(crate) fn profile(&self, call: impl FnOnce(&mut dyn Profiler)) {
        if let Some(profiler) = &self.profiler {
            call(&mut **profiler.borrow_mut());
        }
    }

    /// Whether somebody watches the values.
    pub(crate) fn is_watched(&self) -> bool {
        self.tap.is_some()
    }

    /// Whether somebody watches the values or the nodes.
    pub(crate) fn is_followed(&self) -> bool {
        self.tap.is_some() || self.profiler.is_some()
    }

    pub(crate) fn tap(&self, value: ValueRef, tensor: &Tensor) -> Result<()> {
        match &self.tap {
            Some(tap) => (tap.borrow_mut())(value, tensor),
            None => Ok(()),
        }
    }

    /// Counts a step.
    pub(crate) fn step(&self) -> Result<()> {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if steps > self.limits.steps {
            return Err(Error::limit(format!(
                "the run has reached its limit of {} steps",
                self.limits.steps
            )));
        }
        Ok(())
    }

    /// Checks that the limit allows allocating `bytes` more, and reserves them until the step ends.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<()> {
        self.memory.reserve(bytes)
    }

    /// The largest reservation of the running steps.
    pub(crate) fn reserved(&self) -> u64 {
        self.memory.reserved()
    }

    /// Resets the largest reservation to an earlier one.
    pub(crate) fn release(&self, reserved: u64) {
        self.memory.release(reserved);
    }

    /// The number of bytes in use.
    pub(crate) fn alive(&self) -> u64 {
        self.memory.alive()
    }

    /// Resets the number of bytes in use to an earlier value.
    pub(crate) fn rewind(&self, alive: u64) {
        self.memory.set_alive(alive);
    }

    pub(crate) fn allocated(&self, bytes: u64) {
        self.memory.set_alive(self.alive() + bytes);
    }

    pub(crate) fn freed(&self, bytes: u64) {
        self.memory.set_alive(self.alive().saturating_sub(bytes));
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        self.memory.shared().keep_pool(std::mem::take(&mut self.buffer_pool));
    }
}
