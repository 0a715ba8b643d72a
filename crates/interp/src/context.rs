//! The state of one run: its limits, its use of resources, and its observer.

use crate::buffer_pool::BufferPool;
use intact8_ir::{Error, Result, Tap, Tensor, ValueRef};
use std::cell::{Cell, RefCell};

/// The limits of a run. A model that exceeds them gets an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest number of bytes of live tensors, without constants.
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
    alive: Cell<u64>,
    steps: Cell<u64>,
    tap: Option<RefCell<Tap<'a>>>,
    pub(crate) buffer_pool: BufferPool,
}

impl<'a> Context<'a> {
    pub(crate) fn new(limits: Limits, tap: Option<Tap<'a>>) -> Context<'a> {
        Context {
            limits,
            alive: Cell::new(0),
            steps: Cell::new(0),
            tap: tap.map(RefCell::new),
            buffer_pool: BufferPool::default(),
        }
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

    /// Checks that the limit allows allocating `bytes` more.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<()> {
        if self.alive.get().saturating_add(bytes) > self.limits.memory {
            let (alive, limit) = (self.alive.get(), self.limits.memory);
            let message =
                format!("needs {bytes} bytes in addition to {alive} in use, but the limit is {limit}");
            return Err(Error::limit(message));
        }
        Ok(())
    }

    /// The number of bytes in use.
    pub(crate) fn alive(&self) -> u64 {
        self.alive.get()
    }

    /// Resets the number of bytes in use to an earlier value.
    pub(crate) fn rewind(&self, alive: u64) {
        self.alive.set(alive);
    }

    pub(crate) fn allocated(&self, bytes: u64) {
        self.alive.set(self.alive.get() + bytes);
    }

    pub(crate) fn freed(&self, bytes: u64) {
        self.alive.set(self.alive.get().saturating_sub(bytes));
    }
}
