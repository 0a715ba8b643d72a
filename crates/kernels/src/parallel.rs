//! The policy for splitting work between threads with rayon.
//! Pieces do not depend on the number of threads, and the bits of a kernel do not depend on the pieces.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

/// Below this number of elementary operations, waking another thread costs more than it saves.
const MIN_PARALLEL_OPERATIONS: usize = 1 << 20;

/// The cost of a tap of a window over one channel: unlike a factor of a matrix product, it is loaded for each result.
pub(crate) const TAP_COST: usize = 4;

/// The number of elements in one piece of an operation on slices.
const PIECE: usize = 1 << 15;

/// Whether `operations` (multiply-adds, or elements times their cost) are enough for several threads.
pub(crate) fn is_parallel(operations: usize) -> bool {
    operations >= MIN_PARALLEL_OPERATIONS && rayon::current_num_threads() > 1
}

/// Runs every task once, on several threads if the total of `operations` is large enough.
pub(crate) fn for_each<T: Send>(operations: usize, tasks: Vec<T>, run: impl Fn(T) + Sync + Send) {
    if tasks.len() > 1 && is_parallel(operations) {
        spread(tasks, run);
    } else {
        tasks.into_iter().for_each(run);
    }
}

/// As [`for_each`], with a value that consecutive tasks share.
pub(crate) fn for_each_with<T: Send, S: Send>(
    operations: usize,
    tasks: Vec<T>,
    share: impl Fn() -> S + Sync + Send,
    run: impl Fn(&mut S, T) + Sync + Send,
) {
    if tasks.len() > 1 && is_parallel(operations) {
        let idle: Mutex<Vec<S>> = Mutex::new(Vec::new());
        let idle = || idle.lock().unwrap_or_else(PoisonError::into_inner);
        spread(tasks, |task| {
            let shared = idle().pop();
            let mut shared = shared.unwrap_or_else(&share);
            run(&mut shared, task);
            idle().push(shared);
        });
    } else {
        let mut shared = share();
        tasks.into_iter().for_each(|task| run(&mut shared, task));
    }
}

/// Runs every task once, on several threads.
fn spread<T: Send>(tasks: Vec<T>, run: impl Fn(T) + Sync) {
    let tasks: Vec<Mutex<Option<T>>> = tasks.into_iter().map(|task| Mutex::new(Some(task))).collect();
    for_each_index(tasks.len(), &|idx| {
        let task = tasks[idx].lock().unwrap_or_else(PoisonError::into_inner).take();
        run(task.expect("each task is taken once"));
    });
}

/// The use of rayon, which is compiled once instead of for every kind of task.
fn for_each_index(len: usize, run: &(dyn Fn(usize) + Sync)) {
    (0..len).into_par_iter().with_max_len(1).for_each(run);
}

/// Calls `run` for pieces of a slice, with their ranges; `cost` is the approximate number of operations per element.
pub(crate) fn for_each_piece<T: Send>(
    cost: usize,
    values: &mut [T],
    run: impl Fn(Range<usize>, &mut [T]) + Sync + Send,
) {
    for_each_rows(cost, 1, values, run);
}

/// As [`for_each_piece`], for pieces of whole rows.
pub(crate) fn for_each_rows<T: Send>(
    cost: usize,
    row_len: usize,
    values: &mut [T],
    run: impl Fn(Range<usize>, &mut [T]) + Sync + Send,
) {
    if is_parallel(cost.saturating_mul(values.len())) {
        let len = PIECE.next_multiple_of(row_len);
        let pieces = values.chunks_mut(len).enumerate();
        spread(pieces.collect(), |(i, piece): (usize, &mut [T])| run(i * len..i * len + piece.len(), piece));
    } else {
        run(0..values.len(), values);
    }
}

/// Splits `len` into the fewest ranges of at most `most`, whose sizes differ by at most one.
pub(crate) fn balanced(len: usize, most: usize) -> impl ExactSizeIterator<Item = Range<usize>> + Clone {
    let count = len.div_ceil(most);
    (0..count).map(move |i| i * len / count..(i + 1) * len / count)
}
