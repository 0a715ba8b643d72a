//! Combination of two facts about a value: their conjunction (meet) and their disjunction (join).

use crate::dim_expr::DimExpr;
use crate::fact::{Elements, Fact, Shape, TensorFact};
use crate::names::Names;
use crate::number::Number;
use ndarray::Zip;

/// The fact about a value with a stated and an inferred one; `None` if they contradict each other.
///
/// If both name a dimension, the inferred name is used, so that a dimension has one name throughout the model.
pub(crate) fn meet(stated: &Fact, inferred: Fact, names: &Names) -> Option<Fact> {
    let inner = |stated: &Fact, inferred: Fact| meet(stated, inferred, names).map(Box::new);
    Some(match (stated, inferred) {
        (Fact::Unknown, inferred) => inferred,
        (stated, Fact::Unknown) => stated.clone(),
        (Fact::Tensor(stated), Fact::Tensor(inferred)) => {
            Fact::Tensor(meet_tensors(stated, inferred, names)?)
        }
        (Fact::Sparse(stated), Fact::Sparse(inferred)) => {
            Fact::Sparse(meet_tensors(stated, inferred, names)?)
        }
        (Fact::Sequence(stated), Fact::Sequence(inferred)) => Fact::Sequence(inner(stated, *inferred)?),
        (Fact::Optional(stated), Fact::Optional(inferred)) => Fact::Optional(inner(stated, *inferred)?),
        (Fact::Map(key, stated), Fact::Map(other, inferred)) if *key == other => {
            Fact::Map(other, inner(stated, *inferred)?)
        }
        _ => return None,
    })
}

fn meet_tensors(stated: &TensorFact, inferred: TensorFact, names: &Names) -> Option<TensorFact> {
    let TensorFact { dtype, shape, elements } = inferred;
    if stated.dtype.is_some() && dtype.is_some() && stated.dtype != dtype {
        return None;
    }
    let shape = match (&stated.shape, shape) {
        (Some(stated), Some(inferred)) => Some(meet_shapes(stated, &inferred, names)?),
        (stated, inferred) => inferred.or_else(|| stated.clone()),
    };
    Some(TensorFact { dtype: dtype.or(stated.dtype), shape, elements })
}

fn meet_shapes(stated: &[DimExpr], inferred: &[DimExpr], names: &Names) -> Option<Shape> {
    let dims_fit = |(a, b): (&DimExpr, &DimExpr)| a.as_known().zip(b.as_known()).is_none_or(|(a, b)| a == b);
    if stated.len() != inferred.len() || !stated.iter().zip(inferred).all(dims_fit) {
        return None;
    }
    let meet = |(stated, inferred): (&DimExpr, &DimExpr)| {
        if let Some(symbol) = stated.as_symbol() {
            names.call(inferred, symbol);
        }
        let says_more = stated.as_known().is_some() || inferred.is_unknown() || inferred.is_unnamed();
        if says_more && !stated.is_unknown() { stated.clone() } else { inferred.clone() }
    };
    Some(stated.iter().zip(inferred).map(meet).collect())
}

/// The fact about a value that is one of two. A value joined with an optional one is an optional value.
pub(crate) fn join(a: &Fact, b: &Fact) -> Fact {
    match (a, b) {
        (Fact::Tensor(a), Fact::Tensor(b)) => Fact::Tensor(join_tensors(a, b)),
        (Fact::Sparse(a), Fact::Sparse(b)) => Fact::Sparse(join_tensors(a, b)),
        (Fact::Sequence(a), Fact::Sequence(b)) => Fact::Sequence(Box::new(join(a, b))),
        (Fact::Optional(a), Fact::Optional(b)) => Fact::Optional(Box::new(join(a, b))),
        (Fact::Map(key, a), Fact::Map(other, b)) if key == other => Fact::Map(*key, Box::new(join(a, b))),
        (Fact::Unknown, _) | (_, Fact::Unknown) => Fact::Unknown,
        (Fact::Optional(inner), other) | (other, Fact::Optional(inner)) => {
            Fact::Optional(Box::new(join(inner, other)))
        }
        _ => Fact::Unknown,
    }
}

fn join_tensors(a: &TensorFact, b: &TensorFact) -> TensorFact {
    let either = |(a, b): (&DimExpr, &DimExpr)| if a.equals(b) { a.clone() } else { DimExpr::UNKNOWN };
    let shape = match (&a.shape, &b.shape) {
        (Some(a), Some(b)) if a.len() == b.len() => Some(a.iter().zip(b).map(either).collect()),
        _ => None,
    };
    let elements = a.elements.as_ref().zip(b.elements.as_ref()).and_then(|(a, b)| join_elements(a, b));
    TensorFact { dtype: a.dtype.filter(|_| a.dtype == b.dtype), shape, elements }
}

fn join_elements(a: &Elements, b: &Elements) -> Option<Elements> {
    if a.shape() != b.shape() {
        return None;
    }
    let either = |a: &Number, b: &Number| if a.equals(b) { a.clone() } else { Number::UNKNOWN };
    let joined = Zip::from(a).and(b).map_collect(either);
    joined.iter().any(|number| !number.is_unknown()).then(|| joined.into_shared())
}

/// Whether two facts are the same knowledge: two unknown dimensions are the same here, although they may not be equal.
pub(crate) fn is_same(a: &Fact, b: &Fact) -> bool {
    let lengths = |a: &DimExpr, b: &DimExpr| a.as_sum() == b.as_sum();
    let shapes = |a: &Shape, b: &Shape| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| lengths(a, b));
    let numbers = |a: &Number, b: &Number| a.equals(b) || (a.is_unknown() && b.is_unknown());
    let elements = |a: &Elements, b: &Elements| {
        a.shape() == b.shape() && a.iter().zip(b.iter()).all(|(a, b)| numbers(a, b))
    };
    match (a, b) {
        (Fact::Unknown, Fact::Unknown) => true,
        (Fact::Tensor(a), Fact::Tensor(b)) | (Fact::Sparse(a), Fact::Sparse(b)) => {
            a.dtype == b.dtype
                && both(a.shape.as_ref(), b.shape.as_ref(), shapes)
                && both(a.elements.as_ref(), b.elements.as_ref(), elements)
        }
        (Fact::Sequence(a), Fact::Sequence(b)) | (Fact::Optional(a), Fact::Optional(b)) => is_same(a, b),
        (Fact::Map(key, a), Fact::Map(other, b)) => key == other && is_same(a, b),
        _ => false,
    }
}

fn both<T>(a: Option<&T>, b: Option<&T>, are_same: impl Fn(&T, &T) -> bool) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => are_same(a, b),
        (None, None) => true,
        _ => false,
    }
}
