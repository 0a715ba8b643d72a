//! What flows between nodes while a model runs: a tensor nearly always.

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

/// A list of values, shared until it is written to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sequence {
    items: Arc<Vec<Data>>,
    n_bytes: u64,
}

/// What an item takes in a sequence beside its elements.
const ITEM: u64 = 128;

impl Data {
    /// The tensor; an error if it is something else.
    pub fn into_tensor(self) -> Result<Tensor> {
        match self {
            Data::Tensor(tensor) => Ok(tensor),
            other => Err(Error::invalid_data(format!("expected a tensor, found {}", other.what()))),
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

    /// Bytes that the elements take, and the text of strings.
    pub(crate) fn byte_size(&self) -> u64 {
        match self {
            Data::Tensor(tensor) => {
                tensor.byte_size() as u64 + texts(tensor).iter().map(|text| text.len() as u64).sum::<u64>()
            }
            Data::Sequence(sequence) => sequence.n_bytes,
            Data::Optional(item) => item.as_ref().map_or(0, |item| item.byte_size()),
        }
    }

    /// A word for messages.
    pub(crate) fn what(&self) -> &'static str {
        match self {
            Data::Tensor(_) => "a tensor",
            Data::Sequence(_) => "a sequence",
            Data::Optional(_) => "an optional",
        }
    }
}

impl Sequence {
    /// Puts an item in front of the one at `at`, or behind all.
    pub(crate) fn insert(&mut self, at: usize, item: Data) {
        self.n_bytes += ITEM + item.byte_size();
        Arc::make_mut(&mut self.items).insert(at, item);
    }

    /// Takes an item out.
    pub(crate) fn remove(&mut self, at: usize) -> Data {
        let item = Arc::make_mut(&mut self.items).remove(at);
        self.n_bytes -= ITEM + item.byte_size();
        item
    }

    /// Bytes that so many items take at least.
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
