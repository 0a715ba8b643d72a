//! Matrix products and what generalises them.

use super::broadcast::broadcast;
use crate::fact::Shape;
use crate::length::Length;
use crate::row::ElementType::{By, Common, Is, Like};
use crate::row::{OpRow, common, one};
use crate::site::{Inferred, Site, Stop};
use intact8_ir::DType::I32;
use std::collections::BTreeMap;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("Det", &[Like(0)], determinant),
    OpRow::tensors("Einsum", &[By(|site| common(site, 0..site.operands.len()))], einsum),
    OpRow::tensors("Gemm", &[Common(3)], |site| gemm(site, 0, 1)),
    OpRow::tensors("MatMul", &[Common(2)], |site| product(site, 0, 1)),
    OpRow::tensors("MatMulInteger", &[Is(I32)], |site| product(site, 0, 1)),
    OpRow::tensors("QLinearMatMul", &[Like(7)], |site| product(site, 0, 3)),
];

/// NumPy's matmul of two operands: the last two dimensions multiply, those before broadcast, a vector is a row on the
/// left and a column on the right.
pub(super) fn product(site: &Site<'_>, left: usize, right: usize) -> Inferred<Vec<Option<Shape>>> {
    one(product_of(site.shape(left)?, site.shape(right)?)?)
}

/// The shape of the product of two shapes.
pub(super) fn product_of(left: &[Length], right: &[Length]) -> Inferred<Shape> {
    let row = |shape: &[Length]| match shape {
        [k] => Some((vec![], None, k.clone())),
        [batch @ .., m, k] => Some((batch.to_vec(), Some(m.clone()), k.clone())),
        [] => None,
    };
    let column = |shape: &[Length]| match shape {
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

/// The dimension that a product sums over must be of one length.
fn must_be_equal(a: &Length, b: &Length) -> Inferred<()> {
    match (a.as_known(), b.as_known()) {
        (Some(a), Some(b)) if a != b => Err(Stop::wrong(format!("{a} columns meet {b} rows"))),
        _ => Ok(()),
    }
}

/// `[m,k]` times `[k,n]`, each transposed where the attribute says so.
pub(super) fn gemm(site: &Site<'_>, left: usize, right: usize) -> Inferred<Vec<Option<Shape>>> {
    let matrix = |slot: usize, name: &str| -> Inferred<[Length; 2]> {
        let unknown = [Length::UNKNOWN, Length::UNKNOWN];
        let [rows, columns] = match site.shape_if_known(slot)? {
            None => unknown,
            Some([rows, columns]) => [rows.clone(), columns.clone()],
            Some(shape) => {
                let found = shape.len();
                return Err(Stop::wrong(format!(
                    "operand {slot} must be a matrix, found {found} dimensions"
                )));
            }
        };
        Ok(if site.flag(name)? { [columns, rows] } else { [rows, columns] })
    };
    let ([m, k], [other, n]) = (matrix(left, "transA")?, matrix(right, "transB")?);
    must_be_equal(&k, &other)?;
    one(vec![m, n])
}

/// One determinant for each matrix.
fn determinant(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    match site.shape(0)? {
        [batch @ .., rows, columns] => {
            must_be_equal(rows, columns)?;
            one(batch.to_vec())
        }
        _ => Err(Stop::wrong("a determinant is that of a matrix")),
    }
}

/// A letter of an equation, or one of the dimensions that `...` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Index {
    /// Counted from the back.
    Rest(usize),
    Letter(char),
}

fn einsum(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let equation = site.op.str("equation")?.ok_or_else(|| Stop::wrong("attribute equation is missing"))?;
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (terms, result) = match equation.split_once("->") {
        Some((terms, result)) => (terms, Some(result)),
        None => (equation.as_str(), None),
    };
    let mut lengths: BTreeMap<Index, Length> = BTreeMap::new();
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    let mut n_rest = 0;
    let n_terms = terms.split(',').count();
    if n_terms != site.operands.len() {
        let message = format!("the equation has {n_terms} terms for {} operands", site.operands.len());
        return Err(Stop::wrong(message));
    }
    for (slot, term) in terms.split(',').enumerate() {
        let shape = site.shape(slot)?;
        let (indices, rest) = indices(term, Some(shape.len()))?;
        n_rest = n_rest.max(rest);
        for (index, length) in indices.into_iter().zip(shape) {
            if let Index::Letter(letter) = index {
                *counts.entry(letter).or_default() += 1;
            }
            let known = lengths.entry(index).or_insert_with(|| Length::known(1));
            let both = broadcast([std::slice::from_ref(&*known), std::slice::from_ref(length)])?;
            *known = both.into_iter().next().unwrap_or(Length::UNKNOWN);
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
        let unnamed = || Stop::wrong(format!("the equation {equation:?} does not say what its result is"));
        lengths.get(index).cloned().ok_or_else(unnamed)
    };
    one(result.iter().map(length).collect::<Inferred<_>>()?)
}

/// The indices of a term, and how many dimensions its `...` stands for: what the letters leave of the rank, or, where
/// that is not given, one as a mark.
fn indices(term: &str, rank: Option<usize>) -> Inferred<(Vec<Index>, usize)> {
    let letters = |text: &str| -> Inferred<Vec<Index>> {
        match text.chars().find(|c| !c.is_ascii_alphabetic()) {
            Some(other) => Err(Stop::wrong(format!("{other:?} is no index of an equation"))),
            None => Ok(text.chars().map(Index::Letter).collect()),
        }
    };
    let wrong = || Stop::wrong(format!("the term {term:?} does not fit the rank of its operand"));
    let Some((front, back)) = term.split_once("...") else {
        let indices = letters(term)?;
        return if rank.is_none_or(|rank| rank == indices.len()) { Ok((indices, 0)) } else { Err(wrong()) };
    };
    let (front, back) = (letters(front)?, letters(back)?);
    let n_rest = rank.map_or(Some(1), |rank| rank.checked_sub(front.len() + back.len())).ok_or_else(wrong)?;
    Ok(([front, (0..n_rest).rev().map(Index::Rest).collect(), back].concat(), n_rest))
}
