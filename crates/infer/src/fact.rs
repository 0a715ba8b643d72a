//! The knowledge about a value during inference, which is more than its type expresses.

use crate::dim_expr::DimExpr;
use crate::names::Names;
use crate::number::Number;
use intact8_ir::{DType, Dim, Tensor, TensorType, Type};
use ndarray::{ArcArray, IxDyn};

/// The dimensions of a tensor, outermost first.
pub(crate) type Shape = Vec<DimExpr>;

/// The elements of a tensor, of which some may be unknown.
pub(crate) type Elements = ArcArray<Number, IxDyn>;

/// The largest number of elements that are tracked: shapes are computed with small tensors.
pub(crate) const MAX_ELEMENTS: usize = 256;

/// The knowledge about a value.
#[derive(Debug, Clone, Default)]
pub(crate) enum Fact {
    /// The kind of the value is unknown.
    #[default]
    Unknown,
    Tensor(TensorFact),
    Sparse(TensorFact),
    /// The fact about every element.
    Sequence(Box<Fact>),
    /// The fact about the value, if it is present.
    Optional(Box<Fact>),
    Map(DType, Box<Fact>),
}

/// The knowledge about a tensor.
#[derive(Debug, Clone, Default)]
pub(crate) struct TensorFact {
    pub(crate) dtype: Option<DType>,
    pub(crate) shape: Option<Shape>,
    /// Only for small tensors; the shape is then known.
    pub(crate) elements: Option<Elements>,
}

impl Fact {
    /// A tensor with unknown elements.
    pub(crate) fn tensor(dtype: Option<DType>, shape: Option<Shape>) -> Fact {
        Fact::Tensor(TensorFact { dtype, shape, elements: None })
    }

    /// A tensor without dimensions.
    pub(crate) fn scalar(dtype: DType) -> Fact {
        Fact::tensor(Some(dtype), Some(vec![]))
    }

    /// The fact about a constant.
    pub(crate) fn constant(tensor: &Tensor) -> Fact {
        let shape = tensor.shape().iter().map(|&n| DimExpr::known(n)).collect();
        let is_small = tensor.len() <= MAX_ELEMENTS;
        let elements = is_small.then(|| Number::elements(tensor)).flatten();
        let elements = elements.and_then(|v| Elements::from_shape_vec(IxDyn(tensor.shape()), v).ok());
        Fact::Tensor(TensorFact { dtype: Some(tensor.dtype()), shape: Some(shape), elements })
    }

    /// The fact that a type expresses.
    pub(crate) fn stated(ty: &Type) -> Fact {
        let tensor = |ty: &TensorType| {
            let length = |dim: &Dim| match dim {
                Dim::Known(n) => DimExpr::known(*n),
                Dim::Symbol(name) => DimExpr::symbol(name),
                Dim::Unknown => DimExpr::UNKNOWN,
            };
            let shape = ty.shape.as_ref().map(|dims| dims.iter().map(length).collect());
            TensorFact { dtype: Some(ty.dtype), shape, elements: None }
        };
        match ty {
            Type::Tensor(ty) => Fact::Tensor(tensor(ty)),
            Type::Sparse(ty) => Fact::Sparse(tensor(ty)),
            Type::Sequence(element) => Fact::Sequence(Box::new(Fact::stated(element))),
            Type::Optional(inner) => Fact::Optional(Box::new(Fact::stated(inner))),
            Type::Map(key, value) => Fact::Map(*key, Box::new(Fact::stated(value))),
        }
    }

    /// The type of the value; `None` if an element type is unknown.
    pub(crate) fn to_type(&self, names: &Names) -> Option<Type> {
        let tensor = |fact: &TensorFact| {
            let shape =
                fact.shape.as_ref().map(|shape| shape.iter().map(|length| names.dim(length)).collect());
            Some(TensorType { dtype: fact.dtype?, shape })
        };
        Some(match self {
            Fact::Unknown => return None,
            Fact::Tensor(fact) => Type::Tensor(tensor(fact)?),
            Fact::Sparse(fact) => Type::Sparse(tensor(fact)?),
            Fact::Sequence(element) => Type::Sequence(Box::new(element.to_type(names)?)),
            Fact::Optional(inner) => Type::Optional(Box::new(inner.to_type(names)?)),
            Fact::Map(key, value) => Type::Map(*key, Box::new(value.to_type(names)?)),
        })
    }

    /// Whether the type is completely known.
    pub(crate) fn is_known(&self, names: &Names) -> bool {
        let tensor = |fact: &TensorFact| {
            let has_dim = |length| names.dim(length) != Dim::Unknown;
            fact.dtype.is_some() && fact.shape.as_ref().is_some_and(|shape| shape.iter().all(has_dim))
        };
        match self {
            Fact::Unknown => false,
            Fact::Tensor(fact) | Fact::Sparse(fact) => tensor(fact),
            Fact::Sequence(inner) | Fact::Optional(inner) | Fact::Map(_, inner) => inner.is_known(names),
        }
    }

    /// The kind of the value, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Fact::Unknown => "unknown",
            Fact::Tensor(_) => "a tensor",
            Fact::Sparse(_) => "a sparse tensor",
            Fact::Sequence(_) => "a sequence",
            Fact::Optional(_) => "an optional",
            Fact::Map(..) => "a map",
        }
    }

    /// The tensor, if it is known to be one.
    pub(crate) fn as_tensor(&self) -> Option<&TensorFact> {
        match self {
            Fact::Tensor(fact) => Some(fact),
            _ => None,
        }
    }

    /// The element, if there is exactly one and it is tracked.
    pub(crate) fn as_scalar(&self) -> Option<&Number> {
        let elements = self.as_tensor()?.elements.as_ref()?;
        (elements.len() == 1).then(|| elements.first()).flatten()
    }

    /// The fact without the parts that hold for only one of several values: elements, and dimensions without a name.
    pub(crate) fn for_all(mut self) -> Fact {
        self.change_tensors(&mut |fact| {
            fact.elements = None;
            fact.shape.iter_mut().flatten().for_each(|length| *length = length.without_unnamed());
        });
        self
    }

    /// Calls `change` with every tensor in it.
    fn change_tensors(&mut self, change: &mut impl FnMut(&mut TensorFact)) {
        match self {
            Fact::Unknown => {}
            Fact::Tensor(fact) | Fact::Sparse(fact) => change(fact),
            Fact::Sequence(inner) | Fact::Optional(inner) | Fact::Map(_, inner) => {
                inner.change_tensors(change)
            }
        }
    }
}

impl TensorFact {
    /// All dimensions, if they are known and their product is small.
    pub(crate) fn small_shape(&self) -> Option<Vec<usize>> {
        small_shape(self.shape.as_deref()?)
    }

    /// The elements, each of which may be unknown, if there are few.
    pub(crate) fn few_elements(&self) -> Option<Elements> {
        if let Some(elements) = &self.elements {
            return Some(elements.clone());
        }
        let shape = self.small_shape()?;
        self.dtype.is_none_or(Number::has).then(|| Elements::from_elem(IxDyn(&shape), Number::UNKNOWN))
    }
}

/// The dimensions of a shape, if they are known and the number of elements is small.
pub(crate) fn small_shape(shape: &[DimExpr]) -> Option<Vec<usize>> {
    let lengths = shape.iter().map(|length| usize::try_from(length.as_known()?).ok());
    let shape: Vec<usize> = lengths.collect::<Option<_>>()?;
    // The product without zeros: an array must be addressable even if it is empty.
    let size = shape.iter().filter(|&&n| n != 0).try_fold(1usize, |size, &n| size.checked_mul(n))?;
    (size <= MAX_ELEMENTS).then_some(shape)
}
