//! The computation of probabilities from the scores of queries and keys.

use super::super::softmax::SoftmaxRows;
use super::heads::Sizes;
use crate::product::{Factor, Product};
use crate::real::{computed, round_in_place};
use intact8_ir::{DType, Result};
use intact8_kernels::elementwise::{Unary, unary_in_place};
use intact8_kernels::matrix::{Matrix, MatrixMut};
use std::ops::Range;

/// A type that scores are computed in.
pub(super) trait Score: SoftmaxRows + Factor {
    fn tanh_in_place(values: &mut [Self]);
}

impl Score for f32 {
    fn tanh_in_place(values: &mut [f32]) {
        unary_in_place(Unary::Tanh, values);
    }
}

impl Score for f64 {
    fn tanh_in_place(values: &mut [f64]) {
        values.iter_mut().for_each(|x| *x = x.tanh());
    }
}

/// Adds the products of dense rows with the matrices of `right` for their heads.
pub(super) fn add_products<'a, R: Score>(
    sizes: &Sizes,
    rows: Range<usize>,
    left: &'a [R],
    right: impl Fn(usize, usize) -> Matrix<'a, R>,
    out: &'a mut [R],
) {
    let mut products = Vec::new();
    let (mut left, mut out) = (left, out);
    for (batch, head, rows) in sizes.by_head(rows) {
        let b = right(batch, head / sizes.n_sharing);
        let (own, rest) = left.split_at(rows.len() * b.rows);
        let (c, others) = std::mem::take(&mut out).split_at_mut(rows.len() * b.columns);
        let a = Matrix::row_major(own, rows.len(), b.rows);
        products.push(Product { a, b, c: MatrixMut::row_major(c, rows.len(), b.columns) });
        (left, out) = (rest, others);
    }
    R::multiply_all(products, true);
}

/// Limits the scores softly to the range between minus and plus a number, if it is positive.
pub(super) fn cap<R: Score>(limit: R, scores: &mut [R]) {
    if limit > R::ZERO {
        scores.iter_mut().for_each(|score| *score = *score / limit);
        R::tanh_in_place(scores);
        scores.iter_mut().for_each(|score| *score = *score * limit);
    }
}

/// The softmax of every row, computed in a type.
pub(super) fn softmax_of<R: Score>(
    precision: Option<DType>,
    row_len: usize,
    scores: &mut [R],
    out: &mut [R],
) -> Result<()> {
    let precision = precision.unwrap_or(R::DTYPE);
    match computed(precision) {
        wider @ (DType::F32 | DType::F64) if wider != R::DTYPE => {
            round_to::<R>(precision, scores)?;
            match wider {
                DType::F64 => softmax_through::<R, f64>(row_len, scores, out),
                _ => softmax_through::<R, f32>(row_len, scores, out),
            }
            round_to(precision, out)
        }
        _ => {
            round_to(precision, scores)?;
            R::softmax_rows(false, row_len, scores, out);
            round_to(precision, out)
        }
    }
}

/// Rounds to a type, unless it is wider.
fn round_to<R: Score>(precision: DType, values: &mut [R]) -> Result<()> {
    if precision == DType::F64 { Ok(()) } else { round_in_place(precision, values) }
}

fn softmax_through<R: Score, P: SoftmaxRows>(row_len: usize, scores: &[R], out: &mut [R]) {
    let scores: Vec<P> = scores.iter().map(|score| P::from_f64(score.to_f64())).collect();
    let mut chances = vec![P::ZERO; scores.len()];
    P::softmax_rows(false, row_len, &scores, &mut chances);
    out.iter_mut().zip(chances).for_each(|(out, chance)| *out = R::from_f64(chance.to_f64()));
}

/// Sets the probabilities of rows to zero that have no visible key, or whose scores are all minus infinity.
pub(super) fn clear_masked<R: Score>(row_len: usize, masked: &[bool], scores: &[R], chances: &mut [R]) {
    for (row, (scores, chances)) in
        scores.chunks_exact(row_len).zip(chances.chunks_exact_mut(row_len)).enumerate()
    {
        let is_masked = masked.get(row).copied().unwrap_or(false);
        if is_masked || (chances[0].is_nan() && scores.iter().all(|score| *score == R::LOWEST)) {
            chances.fill(R::ZERO);
        }
    }
}

/// Reduces the probabilities of rows by that of one more key of each head, whose score is in `sinks`.
pub(super) fn share_with_sinks<R: Score>(
    sizes: &Sizes,
    rows: Range<usize>,
    sinks: &[R],
    scores: &[R],
    chances: &mut [R],
) {
    let n_keys = sizes.n_keys;
    for ((row, scores), chances) in
        rows.zip(scores.chunks_exact(n_keys)).zip(chances.chunks_exact_mut(n_keys))
    {
        let (_, head, _) = sizes.coordinates(row);
        let sink = sinks[head].to_f64();
        let scores = || scores.iter().map(|score| score.to_f64());
        let greatest = scores().fold(sink, f64::max);
        let sum: f64 = scores().map(|score| (score - greatest).exp()).sum();
        let kept = R::from_f64(sum / (sum + (sink - greatest).exp()));
        chances.iter_mut().for_each(|chance| *chance = *chance * kept);
    }
}
