//! The threads of the process.

use rayon::ThreadPoolBuilder;

/// Computes on one thread if the system refuses to start more. The library starts as many threads as there are cores when it first
/// requires them, and can't do without.
pub(crate) fn allow_one_thread() {
    // A pool that is ended at once: whether threads can be started is known only from starting them.
    if ThreadPoolBuilder::new().build().is_err() {
        // It fails only if there is a pool already.
        drop(ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global());
    }
}
