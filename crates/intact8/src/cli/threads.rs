//! The threads of the process.

use super::print_message;
use rayon::ThreadPoolBuilder;
use std::num::NonZero;

/// Computes on one thread if the system refuses to start more. The library starts as many threads as there are cores when it first
/// requires them, and can't do without.
pub(crate) fn allow_one_thread() {
    // A pool that is ended at once: whether threads can be started is known only from starting them.
    if ThreadPoolBuilder::new().build().is_err() {
        // It fails only if there is a pool already.
        drop(ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global());
    }
}

/// Prints a warning if a run has more threads than this process has cores, since they wait for each other.
pub(crate) fn print_surplus_threads(threads: u16) {
    let n_cores = std::thread::available_parallelism().map_or(usize::MAX, NonZero::get);
    if usize::from(threads) > n_cores {
        print_message(&format!(
            "warning: --threads {threads}: there are {n_cores} cores, so latencies are longer than with {threads}; use at most \
             {n_cores}"
        ));
    }
}
