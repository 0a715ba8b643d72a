//! The early end of a search by the user or by a time budget.

use intact8_ir::{Error, Result};
use intact8_search::Interruption;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A request to stop, by the user or by a deadline. Copies share the request of the user.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    cancelled: Arc<AtomicBool>,
    deadline: Option<Instant>,
    deadline_applies: Arc<AtomicBool>,
}

impl Stop {
    /// Stops at a deadline, but not before the first trial is finished; `None` is no deadline.
    pub fn at(deadline: Option<Instant>) -> Stop {
        Stop { deadline, ..Stop::default() }
    }

    /// Requests to stop as soon as possible.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the user has requested to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Sets whether the deadline applies from now on.
    pub(crate) fn set_deadline_applies(&self, applies: bool) {
        self.deadline_applies.store(applies, Ordering::Relaxed);
    }

    /// The reason to stop, if there is one.
    pub fn reason(&self) -> Option<Interruption> {
        if self.is_cancelled() {
            return Some(Interruption::Cancelled);
        }
        let is_over = self.deadline_applies.load(Ordering::Relaxed)
            && self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        is_over.then_some(Interruption::OutOfTime)
    }

    /// Checks that there is no reason to stop.
    ///
    /// # Errors
    /// One of the kind [`Cancelled`](intact8_ir::ErrorKind::Cancelled) if there is a reason to stop.
    pub fn check(&self) -> Result<()> {
        match self.reason() {
            Some(_) => {
                Err(Error::cancelled("interrupted before the first trial was finished; there is no result"))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_applies_only_after_it_is_set_to_apply() {
        let stop = Stop::at(Some(Instant::now()));
        assert!(stop.check().is_ok());
        stop.set_deadline_applies(true);
        assert_eq!(stop.reason(), Some(Interruption::OutOfTime));
        let copy = stop.clone();
        copy.cancel();
        assert_eq!(stop.reason(), Some(Interruption::Cancelled));
    }
}
