//! The values between nodes while a model runs: mostly tensors.

use crate::room::texts;
use intact8_ir::{Error, Result, Tensor};
use std::sync::Arc;

/// A value at run time.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// A tensor.
    Tensor(Tensor),
    /// A sequence of values.
    Sequence(Sequence),
    /// An optional value, empty or not.
    Optional(Option<Box<Data>>),
}

/// A list of values, copied on write.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sequence {
    items: Arc<Vec<Data>>,
    n_bytes: u64,
}

/// The memory of an item in a sequence in addition to its elements, in bytes.
const ITEM: u64 = 128;

impl Data {
    /// The tensor; an error if it is something else.
    pub fn into_tensor(self) -> Result<Tensor> {
        match self {
            Data::Tensor(tensor) => Ok(tensor),
            other => Err(Error::invalid_data(format!("expected a tensor, found {}", other.what()))),
        }
    }

    /// The tensor, if it is one.
    pub fn tensor(self) -> Option<Tensor> {
        match self {
            Data::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// The tensor; an error if it is something else.
    pub fn as_tensor(&self) -> Result<&Tensor> {
        match self {
            Data::Tensor(tensor) => Ok(tensor),
            other => Err(Error::invalid_data(format!("expected a tensor, found {}", other.what()))),
        }
    }

    /// The sequence; an error if it is something else.
    pub(crate) fn into_sequence(self) -> Result<Sequence> {
        match self {
            Data::Sequence(sequence) => Ok(sequence),
            other => Err(Error::invalid_data(format!("expected a sequence, found {}", other.what()))),
        }
    }

    /// The number of bytes of the elements, including the text of strings.
    pub(crate) fn byte_size(&self) -> u64 {
        match self {
            Data::Tensor(tensor) => {
                tensor.byte_size() as u64 + texts(tensor).iter().map(|text| text.len() as u64).sum::<u64>()
            }
            Data::Sequence(sequence) => sequence.n_bytes,
            Data::Optional(item) => item.as_ref().map_or(0, |item| item.byte_size()),
        }
    }

    /// The kind of the value, for messages.
    pub(crate) fn what(&self) -> &'static str {
        match self {
            Data::Tensor(_) => "a tensor",
            Data::Sequence(_) => "a sequence",
            Data::Optional(_) => "an optional",
        }
    }
}

impl Sequence {
    /// Inserts an item before the one at `at`, or at the end.
    pub(crate) fn insert(&mut self, at: usize, item: Data) {
        self.n_bytes += ITEM + item.byte_size();
        Arc::make_mut(&mut self.items).insert(at, item);
    }

    /// Removes an item.
    pub(crate) fn remove(&mut self, at: usize) -> Data {
        let item = Arc::make_mut(&mut self.items).remove(at);
        self.n_bytes -= ITEM + item.byte_size();
        item
    }

    /// The least number of bytes of `n_items` items.
    pub(crate) fn overhead(n_items: usize) -> u64 {
        ITEM.saturating_mul(n_items as u64)
    }
}

impl std::ops::Deref for Sequence {
    type Target = [Data];

    fn deref(&self) -> &[Data] {
        &self.items
    }
}

impl<'a> IntoIterator for &'a Sequence {
    type Item = &'a Data;
    type IntoIter = std::slice::Iter<'a, Data>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl FromIterator<Data> for Sequence {
    fn from_iter<I: IntoIterator<Item = Data>>(items: I) -> Sequence {
        let items: Vec<Data> = items.into_iter().collect();
        let n_bytes = items.iter().map(|item| ITEM + item.byte_size()).sum();
        Sequence { items: Arc::new(items), n_bytes }
    }
}

impl From<Tensor> for Data {
    fn from(tensor: Tensor) -> Data {
        Data::Tensor(tensor)
    }
}
