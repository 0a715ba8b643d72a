//! Values, which nodes produce, and their types before anything runs.

use crate::{DType, NodeId, Notes};
use std::fmt;

/// A value is identified by its producer: an output slot of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId {
    /// The producer.
    pub node: NodeId,
    /// The index among the producer's outputs.
    pub slot: usize,
}

/// One output of a node.
#[derive(Debug, Clone, Default)]
pub struct Value {
    /// The name, unique in the graph and in the graphs around it; empty for an optional output that is left out.
    pub name: String,
    /// The type, where it is known.
    pub ty: Option<Type>,
    /// Contents of the file about the value that the IR does not interpret.
    pub notes: Notes,
}

impl Value {
    /// A value with a name and without a type.
    pub fn new(name: impl Into<String>) -> Value {
        Value { name: name.into(), ..Value::default() }
    }

    /// A value of a known type.
    pub fn typed(name: impl Into<String>, ty: impl Into<Type>) -> Value {
        Value { name: name.into(), ty: Some(ty.into()), ..Value::default() }
    }

    /// The type, if it is a tensor's.
    pub fn tensor_type(&self) -> Option<&TensorType> {
        match &self.ty {
            Some(Type::Tensor(ty)) => Some(ty),
            _ => None,
        }
    }
}

/// The type of a value: a tensor nearly always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// A dense tensor.
    Tensor(TensorType),
    /// A sparse tensor.
    Sparse(TensorType),
    /// A list of values of one type.
    Sequence(Box<Type>),
    /// A value or nothing.
    Optional(Box<Type>),
    /// A map from keys of an integer or string type.
    Map(DType, Box<Type>),
}

/// The element type of a tensor, and its shape as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorType {
    /// The element type.
    pub dtype: DType,
    /// The dimensions; `None` if not even their number is known.
    pub shape: Option<Vec<Dim>>,
}

/// One dimension, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dim {
    /// A known length.
    Known(usize),
    /// A symbolic dimension; equal names are equal lengths.
    Symbol(String),
    /// An unknown dimension.
    Unknown,
}

impl TensorType {
    /// A type whose dimensions are all known.
    pub fn fixed(dtype: DType, shape: &[usize]) -> TensorType {
        TensorType { dtype, shape: Some(shape.iter().copied().map(Dim::Known).collect()) }
    }

    /// A type of which only the element type is known.
    pub fn unranked(dtype: DType) -> TensorType {
        TensorType { dtype, shape: None }
    }

    /// The lengths of all dimensions, if all are known.
    pub fn known_shape(&self) -> Option<Vec<usize>> {
        self.shape.as_ref()?.iter().map(Dim::known).collect()
    }

    /// Whether a tensor of `dtype` and `shape` can be of this type. Symbols match any length.
    pub fn admits(&self, dtype: DType, shape: &[usize]) -> bool {
        let dims_fit = |dims: &Vec<Dim>| {
            dims.len() == shape.len()
                && dims.iter().zip(shape).all(|(dim, &n)| dim.known().is_none_or(|d| d == n))
        };
        self.dtype == dtype && self.shape.as_ref().is_none_or(dims_fit)
    }
}

impl Dim {
    /// The length, if it is known.
    pub fn known(&self) -> Option<usize> {
        match self {
            Dim::Known(n) => Some(*n),
            Dim::Symbol(_) | Dim::Unknown => None,
        }
    }
}

impl From<TensorType> for Type {
    fn from(ty: TensorType) -> Type {
        Type::Tensor(ty)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Known(n) => write!(f, "{n}"),
            Dim::Symbol(name) => crate::text::write_name(f, name),
            Dim::Unknown => f.write_str("?"),
        }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.dtype)?;
        let Some(shape) = &self.shape else { return Ok(()) };
        f.write_str("[")?;
        for (idx, dim) in shape.iter().enumerate() {
            write!(f, "{}{dim}", if idx == 0 { "" } else { "," })?;
        }
        f.write_str("]")
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Tensor(ty) => write!(f, "{ty}"),
            Type::Sparse(ty) => write!(f, "sparse({ty})"),
            Type::Sequence(element) => write!(f, "seq({element})"),
            Type::Optional(element) => write!(f, "optional({element})"),
            Type::Map(key, value) => write!(f, "map({key}, {value})"),
        }
    }
}
