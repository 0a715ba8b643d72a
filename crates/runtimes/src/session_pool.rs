//! A pool of sessions: runtimes run one session in one thread at a time, an executor runs in several.

use intact8_ir::Result;
use std::sync::{Mutex, PoisonError};

/// Equal sessions that do not run at the moment.
pub(crate) struct SessionPool<S> {
    idle: Mutex<Vec<S>>,
}

impl<S> SessionPool<S> {
    /// A pool of one session.
    pub(crate) fn of(session: S) -> SessionPool<S> {
        SessionPool { idle: Mutex::new(vec![session]) }
    }

    /// Runs a session that does not run, or a new one that `make` returns.
    pub(crate) fn run<T>(
        &self,
        make: impl FnOnce() -> Result<S>,
        run: impl FnOnce(&mut S) -> Result<T>,
    ) -> Result<T> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let found = idle().pop();
        let mut session = match found {
            Some(session) => session,
            None => make()?,
        };
        let result = run(&mut session);
        idle().push(session);
        result
    }
}
