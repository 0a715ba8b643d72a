//! What is known of a value: more than a type can say on the way, and what the type says in the end.

use crate::length::Length;
use crate::names::Names;
use crate::number::Number;
use intact8_ir::{DType, Dim, Tensor, TensorType, Type};
use ndarray::{ArcArray, IxDyn};

/// The lengths of a tensor's dimensions, outermost first.
pub(crate) type Shape = Vec<Length>;

/// The elements of a tensor, of which some may be unknown.
pub(crate) type Elements = ArcArray<Number, IxDyn>;

/// Tensors of more elements are not followed element by element: shapes are computed in small ones.
pub(crate) const MAX_ELEMENTS: usize = 256;

/// What is known of a value.
#[derive(Debug, Clone, Default)]
pub(crate) enum Fact {
    /// Nothing, not even that it is a tensor.
    #[default]
    Unknown,
    Tensor(TensorFact),
    Sparse(TensorFact),
    /// What holds for each of its elements.
    Sequence(Box<Fact>),
    /// What holds for the value, if there is one.
    Optional(Box<Fact>),
    Map(DType, Box<Fact>),
}

/// What is known of a tensor.
#[derive(Debug, Clone, Default)]
pub(crate) struct TensorFact {
    pub(crate) dtype: Option<DType>,
    pub(crate) shape: Option<Shape>,
    /// Only of small tensors, whose shape is known then.
    pub(crate) elements: Option<Elements>,
}

impl Fact {
    /// A tensor of which the elements are not known.
    pub(crate) fn tensor(dtype: Option<DType>, shape: Option<Shape>) -> Fact {
        Fact::Tensor(TensorFact { dtype, shape, elements: None })
    }

    /// A tensor without dimensions.
    pub(crate) fn scalar(dtype: DType) -> Fact {
        Fact::tensor(Some(dtype), Some(vec![]))
    }

    /// What a constant is.
    pub(crate) fn constant(tensor: &Tensor) -> Fact {
        let shape = tensor.shape().iter().map(|&n| Length::known(n)).collect();
        let is_small = tensor.len() <= MAX_ELEMENTS;
        let elements = is_small.then(|| Number::elements(tensor)).flatten();
        let elements = elements.and_then(|v| Elements::from_shape_vec(IxDyn(tensor.shape()), v).ok());
        Fact::Tensor(TensorFact { dtype: Some(tensor.dtype()), shape: Some(shape), elements })
    }

    /// What a type says.
    pub(crate) fn stated(ty: &Type) -> Fact {
        let tensor = |ty: &TensorType| {
            let length = |dim: &Dim| match dim {
                Dim::Known(n) => Length::known(*n),
                Dim::Symbol(name) => Length::symbol(name),
                Dim::Unknown => Length::UNKNOWN,
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

    /// What a type can say of it; `None` if there is an element type that is not known.
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

    /// Whether everything is known that a type can say.
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

    /// What the value is, for messages.
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

    /// Its only element, if it is known to have one that is known.
    pub(crate) fn as_scalar(&self) -> Option<&Number> {
        let elements = self.as_tensor()?.elements.as_ref()?;
        (elements.len() == 1).then(|| elements.first()).flatten()
    }

    /// The same without what holds only for one of several values: elements, and lengths that have no name.
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
    /// The lengths of all dimensions, if they are known and their product is small.
    pub(crate) fn small_shape(&self) -> Option<Vec<usize>> {
        small_shape(self.shape.as_deref()?)
    }

    /// The elements, which all may be unknown, if there are few.
    pub(crate) fn few_elements(&self) -> Option<Elements> {
        if let Some(elements) = &self.elements {
            return Some(elements.clone());
        }
        let shape = self.small_shape()?;
        self.dtype.is_none_or(Number::has).then(|| Elements::from_elem(IxDyn(&shape), Number::UNKNOWN))
    }
}

/// The lengths of a shape that is known and has few elements.
pub(crate) fn small_shape(shape: &[Length]) -> Option<Vec<usize>> {
    let lengths = shape.iter().map(|length| usize::try_from(length.as_known()?).ok());
    let shape: Vec<usize> = lengths.collect::<Option<_>>()?;
    // The product without zeros: an array must be addressable even if it is empty.
    let size = shape.iter().filter(|&&n| n != 0).try_fold(1usize, |size, &n| size.checked_mul(n))?;
    (size <= MAX_ELEMENTS).then_some(shape)
}
