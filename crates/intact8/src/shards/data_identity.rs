//! The identity of data that several processes share: of a size that does not grow with the data, and cheap to compute.

use crate::data::{DataSet, Feed};
use intact8_calibrate::{BoxError, CalibrationData};
use intact8_ir::{Error, Result, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// What is known of data before they are read: the number of samples, the batches that they are cut into, and the first and the last
/// batch as they are fed. The content of the others is compared when it is read; see `Hashed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataIdentity {
    n_samples: u64,
    n_batches: u64,
    /// A hash of the ranges of the batches, and of the inputs of the first and the last one.
    hash: u128,
}

impl DataIdentity {
    /// The identity of the samples of a feed.
    ///
    /// # Errors
    /// If the first or the last batch can't be read.
    pub fn of(feed: &Feed) -> Result<DataIdentity> {
        let mut hash = Xxh3::new();
        let (mut n_batches, mut ends) = (0u64, vec![]);
        for batch in feed.batches() {
            hash.update(&(batch.start as u64).to_le_bytes());
            hash.update(&(batch.end as u64).to_le_bytes());
            n_batches += 1;
            ends.truncate(1);
            ends.push(batch);
        }
        for batch in ends {
            feed.inputs(batch)?.iter().for_each(|tensor| hash.update(&tensor_hash(tensor).to_le_bytes()));
        }
        Ok(DataIdentity { n_samples: feed.n_samples() as u64, n_batches, hash: hash.digest128() })
    }

    /// The identity of the samples of a feed with the labels or targets that metrics compare with.
    ///
    /// # Errors
    /// As [`DataIdentity::of`]; if an array can't be read.
    pub fn with_targets(feed: &Feed, data: &DataSet) -> Result<DataIdentity> {
        let mut identity = DataIdentity::of(feed)?;
        for name in ["labels", "targets"] {
            if data.has_targets(name, feed) {
                for tensor in data.targets(name, feed)? {
                    let both = [identity.hash.to_le_bytes(), tensor_hash(&tensor).to_le_bytes()].concat();
                    identity.hash = xxh3_128(&both);
                }
            }
        }
        Ok(identity)
    }

    /// How the data differ from others, in words.
    pub(super) fn difference(&self, other: &DataIdentity) -> Option<String> {
        let samples = |it: &DataIdentity| format!("{} samples in {} batches", it.n_samples, it.n_batches);
        match (self == other, samples(self), samples(other)) {
            (true, ..) => None,
            (false, mine, theirs) if mine == theirs => Some(
                "data of the same number of samples, but with other content, order or conversion".to_owned(),
            ),
            (false, mine, theirs) => Some(format!("{mine}, and not {theirs}")),
        }
    }
}

fn tensor_hash(tensor: &Tensor) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(tensor.dtype().to_string().as_bytes());
    tensor.shape().iter().for_each(|dim| hash.update(&(*dim as u64).to_le_bytes()));
    hash.update(&tensor.to_le_bytes());
    hash.digest128()
}

/// Calibration data that hash the batches which are read: the sum of the hashes tells whether two passes have read the same.
pub(super) struct Hashed<'a> {
    data: &'a mut dyn CalibrationData,
    seen: HashSet<usize>,
    sum: u128,
}

impl<'a> Hashed<'a> {
    pub(super) fn new(data: &'a mut dyn CalibrationData) -> Hashed<'a> {
        Hashed { data, seen: HashSet::new(), sum: 0 }
    }

    /// The sum of the hashes of the batches that were read, and their number.
    pub(super) fn sum(&self) -> (u128, usize) {
        (self.sum, self.seen.len())
    }
}

impl CalibrationData for Hashed<'_> {
    fn for_each_batch(
        &mut self,
        n_batches: usize,
        visit: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), BoxError> {
        self.for_each_selected_batch(n_batches, &|_| true, &mut |_, inputs| visit(inputs))
    }

    fn for_each_selected_batch(
        &mut self,
        n_batches: usize,
        is_selected: &dyn Fn(usize) -> bool,
        visit: &mut dyn FnMut(usize, &[Tensor]) -> Result<()>,
    ) -> Result<(), BoxError> {
        let Hashed { data, seen, sum } = self;
        let mut hashed = |batch: usize, inputs: &[Tensor]| {
            if seen.insert(batch) {
                let hashes = inputs.iter().map(|tensor| tensor_hash(tensor).to_le_bytes());
                let parts: Vec<u8> =
                    (batch as u64).to_le_bytes().into_iter().chain(hashes.flatten()).collect();
                *sum = sum.wrapping_add(xxh3_128(&parts));
            }
            visit(batch, inputs)
        };
        data.for_each_selected_batch(n_batches, is_selected, &mut hashed)
    }

    fn n_batches(&self) -> Option<usize> {
        self.data.n_batches()
    }
}

/// The error of a pass that has read other data than an earlier one.
pub(super) fn other_content() -> Error {
    Error::invalid_data(
        "the pass has read other data than the one before; make its shards again from the same data",
    )
}
