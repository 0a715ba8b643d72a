//! Selection of elements along axes: slices, and by a condition.

use crate::axes::{self, Along};
use crate::blocks::Blocks;
use crate::indices::integers;
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use crate::strided::{Dim, Strided};
use intact8_ir::{Error, Result, Tensor};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Compress", opsets: 9..=NEWEST, types: &[], compile: compress },
    OpRow { name: "Slice", opsets: 1..=9, types: &[], compile: slice_by_attributes },
    OpRow { name: "Slice", opsets: 10..=NEWEST, types: &[], compile: slice },
];

fn slice_by_attributes(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let missing = || Error::invalid_model("op Slice must have the attributes starts and ends");
    let starts = ctx.ints("starts")?.ok_or_else(missing)?;
    let ends = ctx.ints("ends")?.ok_or_else(missing)?;
    let axes = ctx.ints("axes")?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        one(sliced(x.shape(), &starts, &ends, axes.as_deref(), None)?.read(x, call)?)
    }))
}

fn slice(_: &CompileContext<'_>) -> Result<Kernel> {
    Ok(Box::new(|call| {
        let x = call.tensor(0)?;
        let (starts, ends) = (integers(call.tensor(1)?)?, integers(call.tensor(2)?)?);
        let axes = call.optional(3)?.map(integers).transpose()?;
        let steps = call.optional(4)?.map(integers).transpose()?;
        one(sliced(x.shape(), &starts, &ends, axes.as_deref(), steps.as_deref())?.read(x, call)?)
    }))
}

fn sliced(
    shape: &[usize],
    starts: &[i64],
    ends: &[i64],
    listed: Option<&[i64]>,
    steps: Option<&[i64]>,
) -> Result<Strided> {
    let axes = match listed {
        Some(list) => axes::axes(list, shape.len())?,
        None => (0..starts.len()).collect(),
    };
    let n = axes.len();
    if [starts.len(), ends.len(), steps.map_or(n, <[i64]>::len)] != [n; 3]
        || axes.iter().any(|&a| a >= shape.len())
    {
        return Err(Error::invalid_data(format!(
            "starts, ends, axes and steps do not match the shape {shape:?}"
        )));
    }
    let mut way = Strided::of(shape);
    for (idx, &axis) in axes.iter().enumerate() {
        let step = steps.map_or(1, |steps| steps[idx]);
        let (start, len) = range(shape[axis], starts[idx], ends[idx], step)?;
        let own = way.dims[axis].step;
        way.start += start * own as usize;
        // A step beyond the dimension selects one element, so the clamped step is equivalent.
        way.dims[axis] = Dim { len, step: own.wrapping_mul(step as isize) };
    }
    Ok(way)
}

/// The start of a slice of a dimension, and its number of elements.
fn range(dim: usize, start: i64, end: i64, step: i64) -> Result<(usize, usize)> {
    let n = dim as i64;
    let from_front = |at: i64| if at < 0 { at.saturating_add(n) } else { at };
    let (start, end) = (from_front(start), from_front(end));
    let (start, distance) = match step {
        0 => return Err(Error::invalid_data("the step must not be 0")),
        1.. => {
            let start = start.clamp(0, n);
            (start, end.clamp(0, n) - start)
        }
        _ => {
            let start = start.clamp(0, (n - 1).max(0));
            (start, if n == 0 { 0 } else { start - end.clamp(-1, n - 1) })
        }
    };
    let len = (distance.max(0) as u64).div_ceil(step.unsigned_abs()) as usize;
    Ok((if len == 0 { 0 } else { start as usize }, len))
}

/// Elements after the end of the condition are omitted; without an axis, the tensor is flattened.
fn compress(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let axis = ctx.op.int("axis")?;
    Ok(Box::new(move |call| {
        let (x, condition) = (call.tensor(0)?, call.values::<bool>(1)?);
        let (x, axis) = match axis {
            Some(axis) => (x.clone(), axes::axis(axis, x.shape().len())?),
            None => (flat(x), 0),
        };
        let along = Along::of(x.shape(), axis);
        let taken = condition.iter().take(along.len).enumerate().filter(|(_, taken)| **taken);
        let starts: Vec<usize> = taken.map(|(idx, _)| idx * along.inner).collect();
        let mut shape = x.shape().to_vec();
        shape[axis] = starts.len();
        let blocks = Blocks {
            outer: along.outer,
            outer_step: along.len * along.inner,
            starts: &starts,
            len: along.inner,
        };
        one(blocks.read(&x, &shape, call)?)
    }))
}

/// The flattened tensor.
fn flat(x: &Tensor) -> Tensor {
    x.reshaped(&[x.len()]).expect("the number of elements is the same")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_agree_with_numpy() {
        // `len(range(10)[start:end:step])` and its first element.
        let cases = [
            ((10, 2, 8, 2), (2, 3)),
            ((10, -3, i64::MAX, 1), (7, 3)),
            ((10, 9, i64::MIN, -1), (9, 10)),
            ((10, i64::MAX, i64::MIN, -3), (9, 4)),
            ((10, 3, 3, 1), (0, 0)),
            ((10, 3, 8, -1), (0, 0)),
            ((10, -100, 100, 100), (0, 1)),
            ((10, 0, 10, i64::MAX), (0, 1)),
            ((10, 9, -11, i64::MIN), (9, 1)),
            ((10, 5, -1, -1), (0, 0)),
            ((0, 0, 5, 1), (0, 0)),
            ((0, 5, i64::MIN, -1), (0, 0)),
        ];
        for ((dim, start, end, step), expected) in cases {
            assert_eq!(range(dim, start, end, step).unwrap(), expected, "{start} {end} {step}");
        }
        assert!(range(10, 0, 1, 0).is_err());
    }
}
