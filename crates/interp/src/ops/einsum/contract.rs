//! Products of two labelled operands: common dimensions without later uses are summed.

use super::equation::Label;
use crate::call::Call;
use crate::number::Number;
use crate::product::{Factor, Product};
use intact8_ir::{Error, Result};
use intact8_kernels::matrix::{Matrix, MatrixMut};
use std::borrow::Cow;

/// Elements as an array with labelled dimensions. Dimensions of 1 are omitted, which is equivalent to repeating them.
pub(super) struct Operand<'a, T: Number> {
    values: Cow<'a, [T]>,
    pub(super) dims: Vec<Dim>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Dim {
    pub(super) label: Label,
    pub(super) len: usize,
    stride: usize,
}

/// Smaller products are computed without matrix kernels.
const WORTH_A_PRODUCT: usize = 64;

impl<'a, T: Factor> Operand<'a, T> {
    /// The elements of a tensor. A label that occurs twice selects the diagonal.
    pub(super) fn new(values: Cow<'a, [T]>, labels: &[Label], shape: &[usize]) -> Result<Operand<'a, T>> {
        let mut dims: Vec<Dim> = Vec::with_capacity(shape.len());
        let mut stride = 1;
        for (&label, &len) in labels.iter().zip(shape).rev() {
            match dims.iter_mut().find(|dim| dim.label == label) {
                Some(dim) if dim.len == len => dim.stride += stride,
                Some(_) => {
                    return Err(Error::invalid_data(format!(
                        "shape {shape:?} has no diagonal in those dimensions"
                    )));
                }
                None => dims.push(Dim { label, len, stride }),
            }
            stride = stride.saturating_mul(len);
        }
        dims.reverse();
        dims.retain(|dim| dim.len != 1);
        Ok(Operand { values, dims })
    }

    pub(super) fn has(&self, label: Label) -> bool {
        self.dims.iter().any(|dim| dim.label == label)
    }

    /// The dimensions that satisfy a condition, in the order of `order`, then the others.
    fn sorted(&self, order: &[Label], mut is_wanted: impl FnMut(Label) -> bool) -> Vec<Dim> {
        let mut dims: Vec<Dim> = self.dims.iter().copied().filter(|dim| is_wanted(dim.label)).collect();
        sort(&mut dims, order);
        dims
    }

    /// The operand, summed over all dimensions except for those that are kept.
    pub(super) fn sum_others(
        self,
        is_kept: impl Fn(Label) -> bool,
        call: &Call<'_, '_>,
    ) -> Result<Operand<'a, T>> {
        let (kept, others): (Vec<Dim>, Vec<Dim>) = self.dims.iter().partition(|dim| is_kept(dim.label));
        if others.is_empty() {
            return Ok(self);
        }
        let (starts, steps) = (offsets(&kept, call)?, offsets(&others, call)?);
        let values =
            starts.iter().map(|&start| sum(&self.values[start.min(self.values.len())..], &steps)).collect();
        Ok(Operand::dense(values, &kept))
    }

    /// The elements in the order of the labels.
    pub(super) fn arranged(self, order: &[Label], call: &Call<'_, '_>) -> Result<Vec<T>> {
        let dims = self.sorted(order, |_| true);
        if fused(&dims) == Some((self.values.len(), 1)) {
            return Ok(self.values.into_owned());
        }
        self.gathered(&dims, call)
    }

    /// The elements in the order of the dimensions.
    fn gathered(&self, dims: &[Dim], call: &Call<'_, '_>) -> Result<Vec<T>> {
        let Some((last, outer)) = dims.split_last() else { return Ok(vec![self.values[0]]) };
        let mut values = Vec::with_capacity(call.reserve::<T>(&lens(dims))?);
        if dims.iter().all(|dim| dim.len > 0) {
            for start in offsets(outer, call)? {
                let row = &self.values[start..][..(last.len - 1) * last.stride + 1];
                match last.stride {
                    1 => values.extend_from_slice(row),
                    stride => values.extend(row.iter().step_by(stride)),
                }
            }
        }
        Ok(values)
    }

    /// A contiguous copy with the dimensions.
    fn rearranged(self, dims: &[&[Dim]], call: &Call<'_, '_>) -> Result<Operand<'a, T>> {
        let dims = dims.concat();
        Ok(Operand::dense(self.gathered(&dims, call)?, &dims))
    }

    fn dense(values: Vec<T>, dims: &[Dim]) -> Operand<'a, T> {
        let mut dims = dims.to_vec();
        let mut stride = 1;
        for dim in dims.iter_mut().rev() {
            dim.stride = stride;
            stride = stride.saturating_mul(dim.len);
        }
        Operand { values: Cow::Owned(values), dims }
    }
}

/// Compiled once instead of for every element type.
fn sort(dims: &mut [Dim], order: &[Label]) {
    dims.sort_by_key(|dim| order.iter().position(|&label| label == dim.label).unwrap_or(usize::MAX));
}

/// The product of two operands, with dimensions as close to `order` as possible without a copy.
pub(super) fn contract<'a, T: Factor>(
    a: Operand<'a, T>,
    b: Operand<'a, T>,
    order: &[Label],
    is_kept: impl Fn(Label) -> bool,
    call: &Call<'_, '_>,
) -> Result<Operand<'a, T>> {
    let a = a.sum_others(|label| is_kept(label) || b.has(label), call)?;
    let b = b.sum_others(|label| is_kept(label) || a.has(label), call)?;
    let batch = a.sorted(order, |label| b.has(label) && is_kept(label));
    let left = a.sorted(order, |label| !b.has(label));
    let right = b.sorted(order, |label| !a.has(label));
    let depth = a.sorted(order, |label| b.has(label) && !is_kept(label));
    let dims = [&*batch, &left, &right].concat();
    let (n_rows, n_columns) = (size(&left), size(&right));
    let labels = |dims: &[Dim]| dims.iter().map(|dim| dim.label).collect::<Vec<_>>();
    let mut out = call.unset::<T>(&lens(&dims))?;
    if n_rows.saturating_mul(n_columns).saturating_mul(size(&depth)) < WORTH_A_PRODUCT {
        let of_b = |dims: &[Dim]| b.sorted(&labels(dims), |label| dims.iter().any(|dim| dim.label == label));
        let (b_batch, b_depth) = (of_b(&batch), of_b(&depth));
        let starts = offsets(&batch, call)?.into_iter().zip(offsets(&b_batch, call)?);
        let (rows, columns) = (offsets(&left, call)?, offsets(&right, call)?);
        let steps: Vec<(usize, usize)> =
            offsets(&depth, call)?.into_iter().zip(offsets(&b_depth, call)?).collect();
        let mut out = out.iter_mut();
        for (a_start, b_start) in starts {
            for row in &rows {
                for (column, out) in columns.iter().zip(&mut out) {
                    let terms = steps.iter();
                    let terms =
                        terms.map(|(p, q)| a.values[a_start + row + p].mul(b.values[b_start + column + q]));
                    *out = terms.fold(T::ZERO, T::add);
                }
            }
        }
    } else {
        let a = MatrixBatch::new(a, &labels(&batch), &labels(&left), &labels(&depth), call)?;
        let b = MatrixBatch::new(b, &labels(&batch), &labels(&depth), &labels(&right), call)?;
        let results = out.chunks_exact_mut(n_rows.saturating_mul(n_columns));
        let products = results.enumerate().map(|(idx, out)| Product {
            a: a.matrix(idx),
            b: b.matrix(idx),
            c: MatrixMut::row_major(out, n_rows, n_columns),
        });
        T::multiply_all(products.collect(), false);
    }
    Ok(Operand::dense(out, &dims))
}

/// An operand as a batch of matrices.
struct MatrixBatch<'a, T: Number> {
    operand: Operand<'a, T>,
    starts: Vec<usize>,
    rows: (usize, usize),
    columns: (usize, usize),
}

impl<'a, T: Factor> MatrixBatch<'a, T> {
    /// Copies the operand if its layout does not consist of rows and columns.
    fn new(
        operand: Operand<'a, T>,
        batch: &[Label],
        rows: &[Label],
        columns: &[Label],
        call: &Call<'_, '_>,
    ) -> Result<MatrixBatch<'a, T>> {
        let part = |operand: &Operand<'_, T>, labels: &[Label]| {
            operand.sorted(labels, |label| labels.contains(&label))
        };
        let parts =
            |operand: &Operand<'_, T>| (part(operand, batch), part(operand, rows), part(operand, columns));
        let (mut batch_dims, mut row_dims, mut column_dims) = parts(&operand);
        let is_matrix = |rows: &[Dim], columns: &[Dim]| match (fused(rows), fused(columns)) {
            (Some((n_rows, row_stride)), Some((n_columns, column_stride))) => {
                row_stride == 1 || column_stride == 1 || n_rows == 1 || n_columns == 1
            }
            _ => false,
        };
        let mut operand = operand;
        if !is_matrix(&row_dims, &column_dims) {
            operand = operand.rearranged(&[&batch_dims, &row_dims, &column_dims], call)?;
            (batch_dims, row_dims, column_dims) = parts(&operand);
        }
        let fused = |dims: &[Dim]| fused(dims).expect("the layout is that of a matrix");
        let (rows, columns) = (fused(&row_dims), fused(&column_dims));
        Ok(MatrixBatch { starts: offsets(&batch_dims, call)?, operand, rows, columns })
    }

    fn matrix(&self, idx: usize) -> Matrix<'_, T> {
        let ((rows, row_stride), (columns, column_stride)) = (self.rows, self.columns);
        let start = self.starts[idx].min(self.operand.values.len());
        Matrix { data: &self.operand.values[start..], rows, columns, row_stride, column_stride }
    }
}

/// The length and stride of several dimensions, if their layout is that of one dimension.
fn fused(dims: &[Dim]) -> Option<(usize, usize)> {
    let is_nested = dims.windows(2).all(|pair| pair[0].stride == pair[1].stride * pair[1].len);
    is_nested.then(|| (size(dims), dims.last().map_or(1, |dim| dim.stride)))
}

fn lens(dims: &[Dim]) -> Vec<usize> {
    dims.iter().map(|dim| dim.len).collect()
}

/// The number of elements, saturating: it may overflow if another dimension is empty.
fn size(dims: &[Dim]) -> usize {
    dims.iter().fold(1, |n, dim| n.saturating_mul(dim.len))
}

/// The indices of the elements, in row-major order.
fn offsets(dims: &[Dim], call: &Call<'_, '_>) -> Result<Vec<usize>> {
    call.reserve::<u64>(&lens(dims))?;
    let mut offsets = vec![0];
    for dim in dims {
        offsets = offsets.iter().flat_map(|at| (0..dim.len).map(move |idx| at + idx * dim.stride)).collect();
    }
    Ok(offsets)
}

/// The pairwise sum of elements, which limits the rounding error.
fn sum<T: Number>(values: &[T], steps: &[usize]) -> T {
    if steps.len() <= 128 {
        return steps.iter().fold(T::ZERO, |sum, &at| sum.add(values[at]));
    }
    let (first, second) = steps.split_at(steps.len() / 2);
    sum(values, first).add(sum(values, second))
}
