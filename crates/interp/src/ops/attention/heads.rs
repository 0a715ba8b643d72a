//! Access to queries, keys and values by head, for every layout of their tensors.

use crate::call::Call;
use crate::number::Number;
use crate::real::{expect_type, numbers};
use crate::stand_in::{movable, restored, with_movable};
use intact8_ir::{Element, Error, Result, Tensor};
use intact8_kernels::matrix::Matrix;
use std::borrow::Cow;
use std::ops::Range;

/// Vectors by batch, head and position.
pub(super) struct Heads<'a, R: Clone> {
    values: Cow<'a, [R]>,
    pub(super) batch: usize,
    pub(super) n_heads: usize,
    /// The number of positions.
    pub(super) len: usize,
    /// The length of a vector.
    pub(super) width: usize,
    /// Whether heads are the inner dimension and positions the outer one.
    is_packed: bool,
}

/// The sizes of an attention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) n_heads: usize,
    /// The number of query heads that share one key and value head.
    pub(super) n_sharing: usize,
    pub(super) n_queries: usize,
    pub(super) n_keys: usize,
}

impl<'a, R: Number> Heads<'a, R> {
    /// The heads of a tensor of rank 4, or of rank 3 with `n_heads` heads in the last dimension.
    pub(super) fn of(tensor: &'a Tensor, n_heads: Option<i64>) -> Result<Heads<'a, R>> {
        let (batch, n_heads, len, width, is_packed) = dims(tensor.shape(), n_heads)?;
        Ok(Heads { values: numbers(tensor, tensor.dtype())?, batch, n_heads, len, width, is_packed })
    }

    /// The vectors of a head, as the rows of a matrix.
    pub(super) fn matrix(&self, batch: usize, head: usize) -> Matrix<'_, R> {
        let (first, step) = match self.is_packed {
            true => (batch * self.len * self.n_heads + head, self.n_heads),
            false => ((batch * self.n_heads + head) * self.len, 1),
        };
        let data = self.values.get(first * self.width..).unwrap_or_default();
        Matrix { data, rows: self.len, columns: self.width, row_stride: step * self.width, column_stride: 1 }
    }

    /// Rows of all heads, multiplied by a factor.
    pub(super) fn scaled_rows(&self, sizes: &Sizes, rows: Range<usize>, factor: R, out: &mut [R]) {
        for (row, out) in rows.zip(out.chunks_exact_mut(self.width.max(1))) {
            let (batch, head, position) = sizes.coordinates(row);
            let matrix = self.matrix(batch, head);
            let row = &matrix.data[position * matrix.row_stride..][..self.width];
            out.iter_mut().zip(row).for_each(|(out, &x)| *out = x.mul(factor));
        }
    }
}

impl Sizes {
    /// The sizes, if queries, keys and values match.
    pub(super) fn of<R: Number>(q: &Heads<'_, R>, k: &Heads<'_, R>, v: &Heads<'_, R>) -> Result<Sizes> {
        let is_grouped = q.n_heads.checked_rem(k.n_heads).map_or(q.n_heads == 0, |rest| rest == 0);
        let fits = [k.batch, v.batch] == [q.batch; 2]
            && k.n_heads == v.n_heads
            && is_grouped
            && q.width == k.width
            && k.len == v.len;
        if !fits {
            let sizes = [q, k, v].map(|part| [part.batch, part.n_heads, part.len, part.width]);
            return Err(Error::invalid_data(format!(
                "queries, keys and values by batch, head, position and number do not match: {sizes:?}"
            )));
        }
        let n_sharing = q.n_heads / k.n_heads.max(1);
        Ok(Sizes { batch: q.batch, n_heads: q.n_heads, n_sharing, n_queries: q.len, n_keys: k.len })
    }

    /// The number of queries of all heads.
    pub(super) fn n_rows(&self) -> usize {
        self.batch * self.n_heads * self.n_queries
    }

    /// Batch, head and position of a query.
    pub(super) fn coordinates(&self, row: usize) -> (usize, usize, usize) {
        let (head, position) = (row / self.n_queries, row % self.n_queries);
        (head / self.n_heads, head % self.n_heads, position)
    }

    /// The number of queries that have about `n_scores` scores together; a multiple of a head's queries if that is more than
    /// one head.
    pub(super) fn rows_at_a_time(&self, n_scores: usize) -> usize {
        let n_rows = (n_scores / self.n_keys).clamp(1, self.n_rows());
        if n_rows > self.n_queries { n_rows / self.n_queries * self.n_queries } else { n_rows }
    }

    /// Splits a range of rows by heads: batch, head, and the rows of that head.
    pub(super) fn by_head(&self, rows: Range<usize>) -> impl Iterator<Item = (usize, usize, Range<usize>)> {
        let sizes = *self;
        let heads = rows.start / self.n_queries..rows.end.div_ceil(self.n_queries);
        heads.map(move |head| {
            let (start, end) = (head * sizes.n_queries, (head + 1) * sizes.n_queries);
            (head / sizes.n_heads, head % sizes.n_heads, rows.start.max(start)..rows.end.min(end))
        })
    }
}

/// The concatenation of past and new vectors, of rank 4.
pub(super) fn joined(
    past: Option<&Tensor>,
    new: &Tensor,
    n_heads: Option<i64>,
    call: &Call<'_, '_>,
) -> Result<Tensor> {
    let (batch, n_heads, len, width, is_packed) = dims(new.shape(), n_heads)?;
    if past.is_none() && !is_packed {
        return Ok(new.clone());
    }
    let n_past = match past.map(Tensor::shape) {
        None => 0,
        Some(&[b, h, n_past, w]) if [b, h, w] == [batch, n_heads, width] => n_past,
        Some(found) => {
            let expected = [batch, n_heads, len, width];
            return Err(Error::invalid_data(format!(
                "a past of shape {found:?} does not match what is new, of shape {expected:?}"
            )));
        }
    };
    let shape = [batch, n_heads, n_past + len, width];
    if let Some(past) = past {
        expect_type(past, new.dtype())?;
    }
    let (dtype, past, new) =
        (new.dtype(), past.map(|tensor| movable(tensor, call)).transpose()?, movable(new, call)?);
    let out = with_movable!(new.dtype(), T => {
        let mut all = Vec::with_capacity(call.reserve::<T>(&shape)?);
        let (past, new) = (past.as_deref().map(Tensor::values::<T>).transpose()?.unwrap_or_default(), new.values::<T>()?);
        for head in 0..batch * n_heads {
            all.extend_from_slice(&past[head * n_past * width..][..n_past * width]);
            if is_packed {
                let first = head / n_heads * len * n_heads + head % n_heads;
                let rows = (0..len).map(|position| &new[(first + position * n_heads) * width..][..width]);
                rows.for_each(|row| all.extend_from_slice(row));
            } else {
                all.extend_from_slice(&new[head * len * width..][..len * width]);
            }
        }
        Ok(Tensor::new(&shape, all))
    })?;
    restored(out, dtype)
}

/// Transposes from batch, head and position to batch, position and head.
pub(super) fn side_by_side<T: Element>(
    &[batch, n_heads, len, width]: &[usize; 4],
    values: &[T],
    call: &Call<'_, '_>,
) -> Result<Vec<T>> {
    let mut out = Vec::with_capacity(call.reserve::<T>(&[values.len()])?);
    for batch in 0..batch {
        for position in 0..len {
            let rows = (0..n_heads).map(|head| ((batch * n_heads + head) * len + position) * width);
            rows.for_each(|at| out.extend_from_slice(&values[at..at + width]));
        }
    }
    Ok(out)
}

/// The sizes of a tensor: batch, heads, positions and the length of a vector; and whether heads are the inner
/// dimension.
pub(super) fn dims(shape: &[usize], n_heads: Option<i64>) -> Result<(usize, usize, usize, usize, bool)> {
    match *shape {
        [batch, n_heads, len, width] => Ok((batch, n_heads, len, width, false)),
        [batch, len, hidden] => {
            let n_heads = n_heads.and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
            let n_heads = n_heads.ok_or_else(|| {
                Error::invalid_model("operands of rank 3 require a positive number of heads")
            })?;
            if !hidden.is_multiple_of(n_heads) {
                return Err(Error::invalid_data(format!(
                    "{hidden} elements are not divisible by {n_heads} heads"
                )));
            }
            Ok((batch, n_heads, len, hidden / n_heads, true))
        }
        _ => {
            Err(Error::invalid_data(format!("expected three or four dimensions, found the shape {shape:?}")))
        }
    }
}
