//! What ends a search before its time: the user, or the clock.

use intact8_ir::{Error, Result};
use intact8_search::Interruption;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Says when to stop. Copies share what the user says.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    cancelled: Arc<AtomicBool>,
    deadline: Option<Instant>,
    obeys_the_clock: Arc<AtomicBool>,
}

impl Stop {
    /// Stops at a time, though not before the first trial is over; `None` is never.
    pub fn at(deadline: Option<Instant>) -> Stop {
        Stop { deadline, ..Stop::default() }
    }

    /// Stops as soon as may be.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the user wants to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Whether the time counts from now on.
    pub(crate) fn obey_the_clock(&self, obeys: bool) {
        self.obeys_the_clock.store(obeys, Ordering::Relaxed);
    }

    /// Why to stop, if there is a reason.
    pub fn reason(&self) -> Option<Interruption> {
        if self.is_cancelled() {
            return Some(Interruption::Cancelled);
        }
        let is_over = self.obeys_the_clock.load(Ordering::Relaxed)
            && self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        is_over.then_some(Interruption::OutOfTime)
    }

    /// An error of kind [`Cancelled`](intact8_ir::ErrorKind::Cancelled) if it is time to stop.
    pub fn check(&self) -> Result<()> {
        match self.reason() {
            Some(_) => {
                Err(Error::cancelled("interrupted before the first trial was over; there is no result"))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_counts_only_when_it_is_told_to() {
        let stop = Stop::at(Some(Instant::now()));
        assert!(stop.check().is_ok());
        stop.obey_the_clock(true);
        assert_eq!(stop.reason(), Some(Interruption::OutOfTime));
        let copy = stop.clone();
        copy.cancel();
        assert_eq!(stop.reason(), Some(Interruption::Cancelled));
    }
}
