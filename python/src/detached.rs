//! Work without the interpreter lock, also in forked processes.
//!
//! The threads of rayon's pool are not in a forked process, as of `multiprocessing`, where work in that pool would wait for them
//! forever. There the work is done in a pool of the process's own.

use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::process;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

/// The process that has rayon's global pool.
static FIRST_PROCESS: OnceLock<u32> = OnceLock::new();

/// The pool of a forked process. It is never dropped, because its first thread belongs to it as long as the thread lasts.
static FORKED: Mutex<Option<Forked>> = Mutex::new(None);

#[derive(Clone, Copy)]
struct Forked {
    process: u32,
    /// The thread that the pool was made in, which is one of the pool's own: work in it looks for signals.
    maker: ThreadId,
    pool: &'static ThreadPool,
}

/// Remembers that this process has the global pool; called when the module is imported.
pub(crate) fn remember_process() {
    FIRST_PROCESS.get_or_init(process::id);
}

/// The result of a function that is called without the interpreter lock.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    py.detach(|| match forked_pool() {
        Some(forked) if forked.maker != thread::current().id() => forked.pool.install(work),
        _ => work(),
    })
}

/// The pool of a forked process; `None` in the first process, and where there are no further threads to be had.
fn forked_pool() -> Option<Forked> {
    let process = process::id();
    if FIRST_PROCESS.get().is_none_or(|&first| first == process) {
        return None;
    }
    let mut forked = FORKED.lock().unwrap_or_else(PoisonError::into_inner);
    if forked.is_none_or(|forked| forked.process != process) {
        // Threads besides the maker do the work while it runs Python.
        let n_threads = thread::available_parallelism().map_or(2, |n| n.get().max(2));
        let builder = ThreadPoolBuilder::new().num_threads(n_threads);
        let pool = builder.use_current_thread().build().ok()?;
        *forked = Some(Forked { process, maker: thread::current().id(), pool: Box::leak(Box::new(pool)) });
    }
    *forked
}
