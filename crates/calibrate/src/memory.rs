//! The limit of the memory that the stages of calibration take, and work in parts that stay below it.
//!
//! What a stage takes is computed from sizes before it is allocated. The model, its copies and its runs are not counted.

use intact8_ir::Result;
use rayon::prelude::*;
use std::fmt;

/// The largest number of sampled values in memory at once, however much memory there is; if all layers need more, the
/// calibration data are run again.
const MOST_SAMPLED_VALUES: usize = 1 << 26;

/// The bytes of a sampled value.
const BYTES_OF_SAMPLED_VALUE: usize = 2;

/// How many times as many values as may be sampled at once are in memory: the rows of two groups of layers, and those of the
/// batches that run, which are added to them.
const COPIES_OF_SAMPLES: usize = 4;

/// The limit of the memory that a stage of calibration takes, beside the model, its copies and its runs.
///
/// Half of it is for sampled rows, the other half for computations on them. A layer whose computations need more is left out
/// of the stage, which the observer is [told](crate::CalibrationObserver::left_out).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimit(pub usize);

/// 4 GiB.
impl Default for MemoryLimit {
    fn default() -> MemoryLimit {
        MemoryLimit(4 << 30)
    }
}

impl MemoryLimit {
    /// The largest number of sampled values of layers whose rows are in memory at once.
    pub(crate) fn sampled_values(self) -> usize {
        (self.0 / 2 / (BYTES_OF_SAMPLED_VALUE * COPIES_OF_SAMPLES)).clamp(1, MOST_SAMPLED_VALUES)
    }

    /// The bytes that computations may take at once.
    pub(crate) fn for_computations(self) -> Bytes {
        Bytes(self.0 / 2)
    }

    /// Whether a computation of so many bytes is possible.
    pub(crate) fn allows(self, bytes: Bytes) -> bool {
        bytes <= self.for_computations()
    }

    /// Why a layer is left out whose computation takes so many bytes, and what that means for it.
    pub(crate) fn refuses(self, bytes: Bytes, consequence: &str) -> String {
        format!(
            "it takes {bytes}, and half of the memory limit is {}: {consequence}; raise the limit",
            self.for_computations()
        )
    }

    /// The results of `work` for each item, in order. As many items at once as `bytes` of each allow, but at least one.
    pub(crate) fn map<T: Sync, R: Send>(
        self,
        items: &[T],
        bytes: impl Fn(&T) -> Bytes,
        work: impl Fn(&T) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let mut results = Vec::with_capacity(items.len());
        let mut rest = items;
        while !rest.is_empty() {
            let mut taken = 0;
            let fits = |item: &&T| {
                taken += bytes(item).0;
                taken <= self.for_computations().0
            };
            let n_items = rest.iter().take_while(fits).count().max(1);
            let (now, later) = rest.split_at(n_items);
            results.extend(now.par_iter().map(&work).collect::<Result<Vec<R>>>()?);
            rest = later;
        }
        Ok(results)
    }
}

/// A number of bytes, shown in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(pub(crate) usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0.div_ceil(1 << 20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn as_many_items_run_at_once_as_fit() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |item: &usize| {
            most.fetch_max(now.fetch_add(*item, Ordering::SeqCst) + item, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(2));
            now.fetch_sub(*item, Ordering::SeqCst);
            Ok(*item)
        };
        let items = [3, 4, 2, 2, 2, 2, 9, 1, 5, 5];
        assert_eq!(MemoryLimit(20).map(&items, |item| Bytes(*item), work).unwrap(), items);
        assert!((5..=10).contains(&most.into_inner()));
    }

    #[test]
    fn an_eighth_of_the_limit_holds_the_samples_of_a_group() {
        assert_eq!(MemoryLimit(16 << 20).sampled_values(), 1 << 20);
        assert_eq!(MemoryLimit(64 << 30).sampled_values(), MOST_SAMPLED_VALUES);
    }
}
