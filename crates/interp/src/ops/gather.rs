//! Gathering: reading elements, or blocks of them, at positions in another tensor.

use crate::axes::{self, Along};
use crate::blocks::Blocks;
use crate::call::Call;
use crate::indices::{integers, position};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use crate::strided::{Strided, for_each};
use intact8_ir::{Error, Result, Tensor};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Gather", opsets: 1..=NEWEST, types: &[], compile: gather },
    OpRow { name: "GatherElements", opsets: 11..=NEWEST, types: &[], compile: gather_elements },
    OpRow { name: "GatherND", opsets: 11..=NEWEST, types: &[], compile: gather_nd },
];

fn gather(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let axis = ctx.int("axis", 0)?;
    Ok(Box::new(move |call| {
        let (x, indices) = (call.tensor(0)?, call.tensor(1)?);
        let axis = axes::axis(axis, x.shape().len())?;
        let Along { outer, len, inner } = Along::of(x.shape(), axis);
        let starts = integers(indices)?
            .iter()
            .map(|&index| Ok(position(index, len)? * inner))
            .collect::<Result<Vec<_>>>()?;
        let shape = [&x.shape()[..axis], indices.shape(), &x.shape()[axis + 1..]].concat();
        one(Blocks { outer, outer_step: len * inner, starts: &starts, len: inner }.read(x, &shape, call)?)
    }))
}

fn gather_elements(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let axis = ctx.int("axis", 0)?;
    Ok(Box::new(move |call| {
        let (x, indices) = (call.tensor(0)?, call.tensor(1)?);
        let starts = element_indices(x.shape(), indices, axis, call)?;
        one(Blocks { outer: 1, outer_step: 0, starts: &starts, len: 1 }.read(x, indices.shape(), call)?)
    }))
}

/// For each element of `indices`, the index in a tensor of `shape` of its coordinates, with its value as the one on
/// `axis`.
pub(super) fn element_indices(
    shape: &[usize],
    indices: &Tensor,
    axis: i64,
    call: &Call<'_, '_>,
) -> Result<Vec<usize>> {
    let axis = axes::axis(axis, shape.len())?;
    let lens = indices.shape();
    let fits = lens.len() == shape.len()
        && lens.iter().zip(shape).enumerate().all(|(idx, (len, dim))| idx == axis || len <= dim);
    if !fits {
        return Err(Error::invalid_data(format!(
            "indices of shape {lens:?} do not match the shape {shape:?}"
        )));
    }
    call.reserve::<usize>(lens)?;
    if indices.is_empty() {
        return Ok(vec![]);
    }
    let dims = Strided::of(shape).dims;
    let (last, outer) = lens.split_last().expect("there is an axis");
    let walk: Vec<_> = outer
        .iter()
        .enumerate()
        .map(|(idx, &len)| (len, [if idx == axis { 0 } else { dims[idx].step }]))
        .collect();
    let (dim, step) = (shape[axis], dims[axis].step as usize);
    let last_step = usize::from(axis + 1 != shape.len());
    let values = integers(indices)?;
    let mut rows = values.chunks_exact(*last);
    let mut found = Vec::with_capacity(values.len());
    let mut checked = Ok(());
    for_each([0], &walk, |[base]| {
        for (idx, &index) in rows.next().unwrap_or_default().iter().enumerate() {
            match position(index, dim) {
                Ok(position) => found.push(base + position * step + idx * last_step),
                Err(error) => checked = Err(error),
            }
        }
    });
    checked.map(|()| found)
}

fn gather_nd(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let batch_dims = usize::try_from(ctx.int("batch_dims", 0)?)
        .map_err(|_| Error::invalid_model("batch_dims must not be negative"))?;
    Ok(Box::new(move |call| {
        let (x, indices) = (call.tensor(0)?, call.tensor(1)?);
        let TupleBlocks { starts, len, shape } = blocks_at_tuples(x.shape(), indices, batch_dims)?;
        one(Blocks { outer: 1, outer_step: 0, starts: &starts, len }.read(x, &shape, call)?)
    }))
}

/// Blocks of a tensor at tuples of indices.
pub(super) struct TupleBlocks {
    pub(super) starts: Vec<usize>,
    /// The number of elements of a block.
    pub(super) len: usize,
    /// The shape of the result.
    pub(super) shape: Vec<usize>,
}

/// The positions in a tensor of `shape` for the tuples in the last dimension of `indices`, in each batch of the common
/// leading dimensions.
pub(super) fn blocks_at_tuples(shape: &[usize], indices: &Tensor, batch_dims: usize) -> Result<TupleBlocks> {
    let wrong = || {
        Error::invalid_data(format!(
            "indices of shape {:?} do not match the shape {shape:?}",
            indices.shape()
        ))
    };
    let (&n_coordinates, outer) = indices.shape().split_last().ok_or_else(wrong)?;
    let fits = n_coordinates > 0
        && batch_dims <= outer.len()
        && batch_dims + n_coordinates <= shape.len()
        && outer[..batch_dims] == shape[..batch_dims];
    if !fits {
        return Err(wrong());
    }
    let (dims, inner) = shape[batch_dims..].split_at(n_coordinates);
    let len: usize = inner.iter().product();
    let batch_step = len * dims.iter().product::<usize>();
    let per_batch: usize = outer[batch_dims..].iter().product();
    let n_tuples: usize = outer.iter().product();
    let values = integers(indices)?;
    let start = |idx: usize| {
        let tuple = &values[idx * n_coordinates..][..n_coordinates];
        let mut at = 0;
        for (&index, &dim) in tuple.iter().zip(dims) {
            at = at * dim + position(index, dim)?;
        }
        Ok(idx / per_batch * batch_step + at * len)
    };
    let starts = (0..n_tuples).map(start).collect::<Result<_>>()?;
    Ok(TupleBlocks { starts, len, shape: [outer, inner].concat() })
}
