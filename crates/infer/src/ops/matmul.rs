//! Matrix products and their generalizations.

use super::broadcast::broadcast;
use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, Stop};
use crate::row::ElementType::{By, Common, Is, Like};
use crate::row::{OpRow, common, one};
use intact8_ir::DType::I32;
use std::collections::BTreeMap;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("Det", &[Like(0)], determinant),
    OpRow::tensors("Einsum", &[By(|ctx| common(ctx, 0..ctx.operands.len()))], einsum),
    OpRow::tensors("Gemm", &[Common(3)], |ctx| gemm(ctx, 0, 1)),
    OpRow::tensors("MatMul", &[Common(2)], |ctx| product(ctx, 0, 1)),
    OpRow::tensors("MatMulInteger", &[Is(I32)], |ctx| product(ctx, 0, 1)),
    OpRow::tensors("QLinearMatMul", &[Like(7)], |ctx| product(ctx, 0, 3)),
];

/// NumPy's matmul of two operands: the last two dimensions are multiplied, the others broadcast; a vector is a row on
/// the left and a column on the right.
pub(super) fn product(ctx: &InferenceContext<'_>, left: usize, right: usize) -> Inferred<Vec<Option<Shape>>> {
    one(product_of(ctx.shape(left)?, ctx.shape(right)?)?)
}

/// The shape of the product of two shapes.
pub(super) fn product_of(left: &[DimExpr], right: &[DimExpr]) -> Inferred<Shape> {
    let row = |shape: &[DimExpr]| match shape {
        [k] => Some((vec![], None, k.clone())),
        [batch @ .., m, k] => Some((batch.to_vec(), Some(m.clone()), k.clone())),
        [] => None,
    };
    let column = |shape: &[DimExpr]| match shape {
        [k] => Some((vec![], k.clone(), None)),
        [batch @ .., k, n] => Some((batch.to_vec(), k.clone(), Some(n.clone()))),
        [] => None,
    };
    let (Some((left_batch, m, k)), Some((right_batch, other, n))) = (row(left), column(right)) else {
        return Err(Stop::wrong("scalars can't be multiplied as matrices"));
    };
    must_be_equal(&k, &other)?;
    let mut shape = broadcast([left_batch.as_slice(), &right_batch])?;
    shape.extend(m);
    shape.extend(n);
    Ok(shape)
}

/// The summed dimensions of a product must be equal.
fn must_be_equal(a: &DimExpr, b: &DimExpr) -> Inferred<()> {
    match (a.as_known(), b.as_known()) {
        (Some(a), Some(b)) if a != b => {
            Err(Stop::wrong(format!("the left operand has {a} columns, but the right one has {b} rows")))
        }
        _ => Ok(()),
    }
}

/// `[m,k]` times `[k,n]`, each transposed if its attribute is set.
pub(super) fn gemm(ctx: &InferenceContext<'_>, left: usize, right: usize) -> Inferred<Vec<Option<Shape>>> {
    let matrix = |slot: usize, name: &str| -> Inferred<[DimExpr; 2]> {
        let unknown = [DimExpr::UNKNOWN, DimExpr::UNKNOWN];
        let [rows, columns] = match ctx.shape_if_known(slot)? {
            None => unknown,
            Some([rows, columns]) => [rows.clone(), columns.clone()],
            Some(shape) => {
                let found = shape.len();
                return Err(Stop::wrong(format!("operand {slot} must have rank 2, found {found}")));
            }
        };
        Ok(if ctx.flag(name)? { [columns, rows] } else { [rows, columns] })
    };
    let ([m, k], [other, n]) = (matrix(left, "transA")?, matrix(right, "transB")?);
    must_be_equal(&k, &other)?;
    one(vec![m, n])
}

/// One determinant for each matrix.
fn determinant(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    match ctx.shape(0)? {
        [batch @ .., rows, columns] => {
            must_be_equal(rows, columns)?;
            one(batch.to_vec())
        }
        _ => Err(Stop::wrong("a determinant requires rank 2 or more")),
    }
}

/// A letter of an equation, or one of the dimensions of `...`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Index {
    /// Counted from the last dimension.
    Rest(usize),
    Letter(char),
}

fn einsum(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let equation = ctx.op.str("equation")?.ok_or_else(|| Stop::wrong("attribute equation is missing"))?;
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (terms, result) = match equation.split_once("->") {
        Some((terms, result)) => (terms, Some(result)),
        None => (equation.as_str(), None),
    };
    let mut lengths: BTreeMap<Index, DimExpr> = BTreeMap::new();
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    let mut n_rest = 0;
    let n_terms = terms.split(',').count();
    if n_terms != ctx.operands.len() {
        let message = format!("the equation has {n_terms} terms for {} operands", ctx.operands.len());
        return Err(Stop::wrong(message));
    }
    for (slot, term) in terms.split(',').enumerate() {
        let shape = ctx.shape(slot)?;
        let (indices, rest) = indices(term, Some(shape.len()))?;
        n_rest = n_rest.max(rest);
        for (index, length) in indices.into_iter().zip(shape) {
            if let Index::Letter(letter) = index {
                *counts.entry(letter).or_default() += 1;
            }
            let known = lengths.entry(index).or_insert_with(|| DimExpr::known(1));
            let both = broadcast([std::slice::from_ref(&*known), std::slice::from_ref(length)])?;
            *known = both.into_iter().next().unwrap_or(DimExpr::UNKNOWN);
        }
    }
    let result = match result {
        Some(result) => indices(result, None)?
            .0
            .into_iter()
            .flat_map(|index| match index {
                Index::Rest(_) => (0..n_rest).rev().map(Index::Rest).collect(),
                letter => vec![letter],
            })
            .collect::<Vec<_>>(),
        None => {
            let once =
                counts.iter().filter(|(_, count)| **count == 1).map(|(&letter, _)| Index::Letter(letter));
            (0..n_rest).rev().map(Index::Rest).chain(once).collect()
        }
    };
    let length = |index: &Index| {
        let unnamed = || Stop::wrong(format!("the result of the equation {equation:?} is undefined"));
        lengths.get(index).cloned().ok_or_else(unnamed)
    };
    one(result.iter().map(length).collect::<Inferred<_>>()?)
}

/// The indices of a term, and the number of dimensions of its `...`: the rank minus the letters, or one as a
/// placeholder if the rank is unknown.
fn indices(term: &str, rank: Option<usize>) -> Inferred<(Vec<Index>, usize)> {
    let letters = |text: &str| -> Inferred<Vec<Index>> {
        match text.chars().find(|c| !c.is_ascii_alphabetic()) {
            Some(other) => Err(Stop::wrong(format!("{other:?} is not an index of an equation"))),
            None => Ok(text.chars().map(Index::Letter).collect()),
        }
    };
    let wrong = || Stop::wrong(format!("the term {term:?} does not match the rank of its operand"));
    let Some((front, back)) = term.split_once("...") else {
        let indices = letters(term)?;
        return if rank.is_none_or(|rank| rank == indices.len()) { Ok((indices, 0)) } else { Err(wrong()) };
    };
    let (front, back) = (letters(front)?, letters(back)?);
    let n_rest = rank.map_or(Some(1), |rank| rank.checked_sub(front.len() + back.len())).ok_or_else(wrong)?;
    Ok(([front, (0..n_rest).rev().map(Index::Rest).collect(), back].concat(), n_rest))
}
