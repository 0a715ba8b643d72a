//! Reading a tensor in another order: each dimension has its own step.
//!
//! Slices, transpositions and repetitions are strided reads. Dimensions are merged where possible, so that adjacent
//! elements are copied together.

use crate::call::Call;
use crate::room::{n_elements, texts};
use crate::stand_in::{movable, restored, with_movable};
use intact8_ir::{Element, Result, Tensor};

/// A strided view of a tensor's elements.
#[derive(Debug, Clone)]
pub(crate) struct Strided {
    /// The index of the first element.
    pub(crate) start: usize,
    /// The dimensions, outermost first.
    pub(crate) dims: Vec<Dim>,
}

/// One dimension of a strided view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dim {
    pub(crate) len: usize,
    /// The step from one element to the next; 0 repeats an element, negative steps go backwards.
    pub(crate) step: isize,
}

/// The side of the squares in which rows and columns are exchanged.
const BLOCK: usize = 16;

impl Strided {
    /// The tensor's own order.
    pub(crate) fn of(shape: &[usize]) -> Strided {
        let mut dims: Vec<Dim> = shape.iter().map(|&len| Dim { len, step: 1 }).collect();
        let mut step = 1isize;
        for dim in dims.iter_mut().rev() {
            dim.step = step;
            // The steps of an empty shape are arbitrary.
            step = step.wrapping_mul(dim.len.max(1) as isize);
        }
        Strided { start: 0, dims }
    }

    /// The elements of `x` in this order; the view must be within `x`.
    pub(crate) fn read(&self, x: &Tensor, call: &Call<'_, '_>) -> Result<Tensor> {
        let shape: Vec<usize> = self.dims.iter().map(|dim| dim.len).collect();
        let n = n_elements(&shape)?;
        let dims = if n == 0 { vec![] } else { merged(&self.dims) };
        if n == x.len() && (n <= 1 || dims == [Dim { len: n, step: 1 }]) {
            return Ok(x.reshaped(&shape).expect("the number of elements is the same"));
        }
        let dtype = x.dtype();
        let x = &*movable(x, call)?;
        let out = with_movable!(x.dtype(), T => {
            call.reserve::<T>(&shape)?;
            let values = x.values::<T>()?;
            let strings = texts(x);
            if !strings.is_empty() && n > 0 {
                let mut text = 0u64;
                for_each([self.start], &steps(&dims), |[at]| text = text.saturating_add(strings[at].len() as u64));
                call.context.reserve(text)?;
            }
            let out = call.context.buffer_pool.empty(n);
            Ok(Tensor::new(&shape, if n == 0 { vec![] } else { collect(values, self.start, &dims, out) }))
        })?;
        restored(out, dtype)
    }
}

/// The same view with as few dimensions as possible.
fn merged(dims: &[Dim]) -> Vec<Dim> {
    let mut merged: Vec<Dim> = Vec::with_capacity(dims.len());
    for &dim in dims.iter().filter(|dim| dim.len != 1) {
        match merged.last_mut() {
            Some(outer) if dim.step.checked_mul(dim.len as isize) == Some(outer.step) => {
                *outer = Dim { len: outer.len * dim.len, step: dim.step };
            }
            _ => merged.push(dim),
        }
    }
    merged
}

fn steps(dims: &[Dim]) -> Vec<(usize, [isize; 1])> {
    dims.iter().map(|dim| (dim.len, [dim.step])).collect()
}

/// Calls `run` for every position of `N` views with the same lengths: one length for each dimension, outermost first,
/// and a step for each view. No length may be 0.
pub(crate) fn for_each<const N: usize>(
    starts: [usize; N],
    dims: &[(usize, [isize; N])],
    mut run: impl FnMut([usize; N]),
) {
    let mut walk = Walk { at: starts, dims, index: vec![0; dims.len()] };
    loop {
        run(walk.at);
        if !walk.advance() {
            return;
        }
    }
}

/// An iterator over the positions, which is compiled only once since it is independent of the element type.
struct Walk<'a, const N: usize> {
    at: [usize; N],
    dims: &'a [(usize, [isize; N])],
    index: Vec<usize>,
}

impl<const N: usize> Walk<'_, N> {
    /// Moves to the next position, if there is one.
    fn advance(&mut self) -> bool {
        for (index, &(len, steps)) in self.index.iter_mut().zip(self.dims).rev() {
            *index += 1;
            if *index < len {
                (0..N).for_each(|k| self.at[k] = self.at[k].wrapping_add_signed(steps[k]));
                return true;
            }
            let back = *index as isize - 1;
            (0..N).for_each(|k| self.at[k] = self.at[k].wrapping_add_signed(-(steps[k] * back)));
            *index = 0;
        }
        false
    }
}

/// The elements of a view; `out` is empty.
fn collect<T: Element>(values: &[T], start: usize, dims: &[Dim], mut out: Vec<T>) -> Vec<T> {
    let Some((&inner, outer)) = dims.split_last() else { return vec![values[start].clone()] };
    if ![0, 1].contains(&inner.step)
        && let Some(column) = outer.iter().position(|dim| dim.step == 1)
    {
        return transposed(values, start, dims, column, out);
    }
    let outer = steps(outer);
    match inner.step {
        0 => {
            for_each([start], &outer, |[at]| out.extend(std::iter::repeat_n(&values[at], inner.len).cloned()))
        }
        // Copying few elements one by one is faster than a call of memcpy.
        1 if inner.len < BLOCK => {
            for_each([start], &outer, |[at]| out.extend(values[at..at + inner.len].iter().cloned()));
        }
        1 => for_each([start], &outer, |[at]| out.extend_from_slice(&values[at..at + inner.len])),
        2 => for_each([start], &outer, |[at]| {
            // Pairs of fixed size are copied by vector instructions.
            let pairs = &values[at..].as_chunks::<2>().0;
            let pairs = &pairs[..pairs.len().min(inner.len)];
            out.extend(pairs.iter().map(|pair| pair[0].clone()));
            let last = values[at..].iter().step_by(2).skip(pairs.len()).take(inner.len - pairs.len());
            out.extend(last.cloned());
        }),
        step if step > 0 => for_each([start], &outer, |[at]| {
            out.extend(values[at..].iter().step_by(step as usize).take(inner.len).cloned());
        }),
        step => for_each([start], &outer, |[at]| {
            out.extend(values[..=at].iter().rev().step_by(step.unsigned_abs()).take(inner.len).cloned());
        }),
    }
    out
}

/// Reads a view whose adjacent elements are in dimension `column` instead of the last, by exchanging rows and columns.
fn transposed<T: Element>(
    values: &[T],
    start: usize,
    dims: &[Dim],
    column: usize,
    mut out: Vec<T>,
) -> Vec<T> {
    let lengths: Vec<usize> = dims.iter().map(|dim| dim.len).collect();
    let own = Strided::of(&lengths).dims;
    let (n_columns, out_step) = (dims[column].len, own[column].step as usize);
    let (n_rows, step) = (dims[dims.len() - 1].len, dims[dims.len() - 1].step);
    let others =
        dims.iter().zip(&own).enumerate().filter(|(axis, _)| *axis != column && *axis + 1 != dims.len());
    let others: Vec<_> = others.map(|(_, (dim, own))| (dim.len, [dim.step, own.step])).collect();
    out.resize(lengths.iter().product(), T::default());
    for_each([start, 0], &others, |[from, to]| {
        for top in (0..n_rows).step_by(BLOCK) {
            let height = BLOCK.min(n_rows - top);
            for left in (0..n_columns).step_by(BLOCK) {
                let width = BLOCK.min(n_columns - left);
                let row =
                    |i: usize| &values[from.wrapping_add_signed((top + i) as isize * step) + left..][..width];
                if let (BLOCK, BLOCK) = (height, width) {
                    let rows: [&[T; BLOCK]; BLOCK] =
                        std::array::from_fn(|i| row(i).first_chunk().expect("the row is a block wide"));
                    for j in 0..BLOCK {
                        let out = &mut out[to + (left + j) * out_step + top..][..BLOCK];
                        out.iter_mut().zip(rows).for_each(|(out, row)| out.clone_from(&row[j]));
                    }
                    continue;
                }
                for i in 0..height {
                    let targets = out[to + left * out_step + top + i..].iter_mut().step_by(out_step);
                    targets.zip(row(i)).for_each(|(out, value)| out.clone_from(value));
                }
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, element by element.
    fn reference(start: usize, dims: &[Dim]) -> Vec<i64> {
        let mut at = vec![start as i64];
        for dim in dims {
            at =
                at.iter().flat_map(|at| (0..dim.len as i64).map(move |i| at + i * dim.step as i64)).collect();
        }
        at
    }

    #[test]
    fn strided_reads_agree_with_the_definition() {
        let values: Vec<i64> = (0..40 * 40).collect();
        let steps = [[40, 1], [1, 40], [0, 1], [1, 0], [40, -1], [-40, 3], [-1, 40], [2, 40]];
        for lens in [[1, 1], [3, 4], [17, 33], [36, 16], [2, 39]] {
            for steps in steps {
                for repeats in [1, 3] {
                    let mut dims: Vec<Dim> =
                        lens.iter().zip(steps).map(|(&len, step)| Dim { len, step }).collect();
                    dims.insert(1, Dim { len: repeats, step: 0 });
                    let (low, high) = reference(0, &dims)
                        .iter()
                        .fold((0, 0), |(low, high), &at| (at.min(low), at.max(high)));
                    if high - low >= values.len() as i64 {
                        continue;
                    }
                    let start = -low as usize;
                    let merged = merged(&dims);
                    assert_eq!(collect(&values, start, &merged, vec![]), reference(start, &dims), "{dims:?}");
                }
            }
        }
    }
}
