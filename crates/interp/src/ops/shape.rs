//! Operators that change the shape only, and those that return it.

use crate::axes;
use crate::broadcast::broadcast_shape;
use crate::call::Call;
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, Outputs, one};
use crate::room::{n_elements, shape_of};
use crate::strided::{Dim, Strided};
use intact8_ir::{Error, Result, Tensor};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Expand", opsets: 8..=NEWEST, types: &[], compile: |_| Ok(Box::new(expand)) },
    OpRow { name: "Flatten", opsets: 1..=NEWEST, types: &[], compile: flatten },
    OpRow {
        name: "Identity",
        opsets: 1..=NEWEST,
        types: &[],
        compile: |_| Ok(Box::new(|call| Ok(Outputs::from_iter([call.take_data(0)?])))),
    },
    OpRow { name: "Reshape", opsets: 5..=NEWEST, types: &[], compile: reshape },
    OpRow { name: "Shape", opsets: 1..=NEWEST, types: &[], compile: shape },
    OpRow {
        name: "Size",
        opsets: 1..=NEWEST,
        types: &[],
        compile: |_| Ok(Box::new(|call| one(Tensor::scalar(call.tensor(0)?.len() as i64)))),
    },
    OpRow { name: "Squeeze", opsets: 1..=NEWEST, types: &[], compile: squeeze },
    OpRow { name: "Unsqueeze", opsets: 1..=NEWEST, types: &[], compile: unsqueeze },
];

/// Dimensions of 1 are repeated, both those of the operand and those of the target shape.
fn expand(call: &mut Call<'_, '_>) -> Result<Outputs> {
    let (x, wanted) = (call.tensor(0)?, shape_of(call.values::<i64>(1)?)?);
    let shape = broadcast_shape(&[x.shape(), &wanted])?;
    let own = Strided::of(x.shape()).dims;
    let n_new = shape.len() - own.len();
    let dims = shape.iter().enumerate().map(|(idx, &len)| match idx.checked_sub(n_new) {
        Some(idx) if own[idx].len == len => own[idx],
        _ => Dim { len, step: 0 },
    });
    one(Strided { start: 0, dims: dims.collect() }.read(x, call)?)
}

fn flatten(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let axis = ctx.int("axis", 1)?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        // The axis may equal the rank.
        let at =
            if axis < 0 { axes::axis(axis, x.shape().len()) } else { axes::axis(axis, x.shape().len() + 1) };
        let (outer, inner) = x.shape().split_at(at?);
        one(x
            .reshaped(&[n_elements(outer)?, n_elements(inner)?])
            .expect("the number of elements is the same"))
    }))
}

/// 0 keeps a dimension, unless `allowzero` is set; -1 is the remaining dimension.
fn reshape(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let allow_zero = ctx.flag("allowzero", false)?;
    Ok(Box::new(move |call| {
        let (x, wanted) = (call.tensor(0)?, call.values::<i64>(1)?);
        let wrong = || Error::invalid_data(format!("shape {:?} can't be reshaped to {wanted:?}", x.shape()));
        let dim = |(idx, &dim): (usize, &i64)| match dim {
            0 if !allow_zero => x.shape().get(idx).copied().ok_or_else(wrong),
            -1 => Ok(1),
            dim => usize::try_from(dim).map_err(|_| wrong()),
        };
        let mut shape: Vec<usize> = wanted.iter().enumerate().map(dim).collect::<Result<_>>()?;
        let mut rests = wanted.iter().enumerate().filter(|(_, dim)| **dim == -1).map(|(idx, _)| idx);
        if let Some(idx) = rests.next() {
            let others = n_elements(&shape)?;
            if others == 0 || rests.next().is_some() {
                return Err(wrong());
            }
            shape[idx] = x.len() / others;
        }
        if n_elements(&shape)? != x.len() {
            return Err(wrong());
        }
        one(x.reshaped(&shape).ok_or_else(wrong)?)
    }))
}

/// A range of the dimensions, clamped to the ends.
fn shape(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (start, end) = (ctx.int("start", 0)?, ctx.op.int("end")?);
    Ok(Box::new(move |call| {
        let shape = call.tensor(0)?.shape();
        let rank = shape.len() as i64;
        let clamped = |at: i64| (if at < 0 { at + rank } else { at }).clamp(0, rank) as usize;
        let (start, end) = (clamped(start), end.map_or(shape.len(), clamped));
        let dims = shape.get(start..end).unwrap_or_default();
        one(Tensor::new(&[dims.len()], dims.iter().map(|&dim| dim as i64).collect()))
    }))
}

fn squeeze(ctx: &CompileContext<'_>) -> Result<Kernel> {
    // An empty attribute means all axes, like an absent one; an empty operand means none.
    let attr = ctx.ints("axes")?.filter(|axes| !axes.is_empty());
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let rank = x.shape().len();
        let listed = match (&attr, call.optional(1)?) {
            (Some(list), _) => Some(axes::axes(list, rank)?),
            (None, Some(list)) => Some(axes::axes(list.values()?, rank)?),
            (None, None) => None,
        };
        if let Some(axis) = listed.iter().flatten().find(|&&axis| x.shape()[axis] != 1) {
            return Err(Error::invalid_data(format!("dimension {axis} of shape {:?} is not 1", x.shape())));
        }
        let goes: Vec<bool> = match &listed {
            Some(listed) => flags(listed, rank),
            None => x.shape().iter().map(|&dim| dim == 1).collect(),
        };
        let stays = x.shape().iter().zip(goes).filter(|(_, goes)| !goes);
        let shape: Vec<usize> = stays.map(|(&dim, _)| dim).collect();
        one(x.reshaped(&shape).expect("dimensions of 1 keep the number of elements"))
    }))
}

/// For each of `rank` axes, whether it is listed.
fn flags(listed: &[usize], rank: usize) -> Vec<bool> {
    let mut flags = vec![false; rank];
    listed.iter().for_each(|&axis| flags[axis] = true);
    flags
}

/// The axes are those of the result.
fn unsqueeze(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let attr = ctx.ints("axes")?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let list = match &attr {
            Some(list) => list,
            None => call.values(1)?,
        };
        let rank = x.shape().len() + list.len();
        let is_new = flags(&axes::axes(list, rank)?, rank);
        let mut old = x.shape().iter();
        let dim = |is_new| if is_new { 1 } else { *old.next().expect("the others belong to the operand") };
        let shape: Vec<usize> = is_new.into_iter().map(dim).collect();
        one(x.reshaped(&shape).expect("dimensions of 1 keep the number of elements"))
    }))
}
