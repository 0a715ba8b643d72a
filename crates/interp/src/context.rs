//! What one run carries along: its limits, what it has used of them, and who watches.

use crate::spare::Spare;
use intact8_ir::{Error, Result, Tap, Tensor, ValueRef};
use std::cell::{Cell, RefCell};

/// What a run may use at most. A model that asks for more gets an error, not the machine's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of tensors alive at a time, constants not counted.
    pub memory: u64,
    /// Nodes executed, each iteration of a loop counted.
    pub steps: u64,
}

impl Default for Limits {
    /// 16 GiB, and a hundred million steps.
    fn default() -> Limits {
        Limits { memory: 16 << 30, steps: 100_000_000 }
    }
}

/// The state of one run, shared with the subgraphs it runs.
pub(crate) struct Context<'a> {
    limits: Limits,
    alive: Cell<u64>,
    steps: Cell<u64>,
    tap: Option<RefCell<Tap<'a>>>,
    pub(crate) spare: Spare,
}

impl<'a> Context<'a> {
    pub(crate) fn new(limits: Limits, tap: Option<Tap<'a>>) -> Context<'a> {
        Context {
            limits,
            alive: Cell::new(0),
            steps: Cell::new(0),
            tap: tap.map(RefCell::new),
            spare: Spare::default(),
        }
    }

    pub(crate) fn tap(&self, place: ValueRef, tensor: &Tensor) -> Result<()> {
        match &self.tap {
            Some(tap) => (tap.borrow_mut())(place, tensor),
            None => Ok(()),
        }
    }

    /// Counts a step.
    pub(crate) fn step(&self) -> Result<()> {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if steps > self.limits.steps {
            return Err(Error::limit(format!(
                "the run has taken {} steps, which is its limit",
                self.limits.steps
            )));
        }
        Ok(())
    }

    /// Checks that `bytes` more may come alive, before they do.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<()> {
        if self.alive.get().saturating_add(bytes) > self.limits.memory {
            let (alive, limit) = (self.alive.get(), self.limits.memory);
            let message = format!("needs {bytes} bytes beside {alive} in use, and the limit is {limit}");
            return Err(Error::limit(message));
        }
        Ok(())
    }

    /// Bytes in use.
    pub(crate) fn alive(&self) -> u64 {
        self.alive.get()
    }

    /// Forgets what came alive and died since there were so many bytes in use.
    pub(crate) fn rewind(&self, alive: u64) {
        self.alive.set(alive);
    }

    pub(crate) fn born(&self, bytes: u64) {
        self.alive.set(self.alive.get() + bytes);
    }

    pub(crate) fn died(&self, bytes: u64) {
        self.alive.set(self.alive.get().saturating_sub(bytes));
    }
}
