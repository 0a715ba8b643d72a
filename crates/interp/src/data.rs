//! What flows between nodes while a model runs: a tensor nearly always.

use quantfit_ir::{Error, Result, Tensor};

/// A value at run time.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// A tensor.
    Tensor(Tensor),
    /// A sequence of values.
    Sequence(Vec<Data>),
    /// An optional value, empty or not.
    Optional(Option<Box<Data>>),
}

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

    /// Bytes that the elements take.
    pub(crate) fn byte_size(&self) -> u64 {
        match self {
            Data::Tensor(tensor) => tensor.byte_size() as u64,
            Data::Sequence(items) => items.iter().map(Data::byte_size).sum(),
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

impl From<Tensor> for Data {
    fn from(tensor: Tensor) -> Data {
        Data::Tensor(tensor)
    }
}
