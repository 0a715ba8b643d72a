//! Concatenation, splitting and repetition of tensors.

use crate::axes::{self, Along};
use crate::call::Call;
use crate::indices::integers;
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, Outputs, one};
use crate::room::{reserve_text, shape_of, texts};
use crate::stand_in::{movable, restored, with_movable};
use crate::strided::{Dim, Strided};
use intact8_ir::{Element, Error, Result, Tensor};
use std::borrow::Cow;

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Concat", opsets: 4..=NEWEST, types: &[], compile: concat },
    OpRow { name: "Split", opsets: 2..=NEWEST, types: &[], compile: split },
    OpRow { name: "Tile", opsets: 6..=NEWEST, types: &[], compile: |_| Ok(Box::new(tile)) },
];

fn concat(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let axis =
        ctx.op.int("axis")?.ok_or_else(|| Error::invalid_model("op Concat must have the attribute axis"))?;
    let n_operands = ctx.operands.len();
    Ok(Box::new(move |call| {
        let tensors: Vec<&Tensor> = (0..n_operands).map(|slot| call.tensor(slot)).collect::<Result<_>>()?;
        one(join(&tensors, axis, call)?)
    }))
}

/// The concatenation of the tensors along `axis`.
pub(super) fn join(tensors: &[&Tensor], axis: i64, call: &Call<'_, '_>) -> Result<Tensor> {
    let first = tensors.first().ok_or_else(|| Error::invalid_data("there are no tensors to concatenate"))?;
    let axis = axes::axis(axis, first.shape().len())?;
    let mut shape = first.shape().to_vec();
    let mut len = 0usize;
    for tensor in tensors {
        let fits = tensor.shape().len() == shape.len()
            && tensor.shape().iter().zip(&shape).enumerate().all(|(idx, (a, b))| idx == axis || a == b);
        if !fits || tensor.dtype() != first.dtype() {
            let (found, found_type) = (tensor.shape(), tensor.dtype());
            let (shape, dtype) = (first.shape(), first.dtype());
            return Err(Error::invalid_data(format!(
                "{found_type} of shape {found:?} does not join {dtype} of shape {shape:?} along axis {axis}"
            )));
        }
        len = len.saturating_add(tensor.shape()[axis]);
    }
    shape[axis] = len;
    let Along { outer, inner, .. } = Along::of(&shape, axis);
    let dtype = first.dtype();
    let tensors: Vec<Cow<'_, Tensor>> =
        tensors.iter().map(|tensor| movable(tensor, call)).collect::<Result<_>>()?;
    let out = with_movable!(tensors[0].dtype(), T => {
        let mut out = call.aligned::<T>(&shape)?;
        let strings = tensors.iter().flat_map(|tensor| texts(tensor));
        reserve_text(call, strings.map(String::len))?;
        let parts: Vec<(&[T], usize)> = tensors
            .iter()
            .map(|tensor| Ok((tensor.values::<T>()?, tensor.shape()[axis] * inner)))
            .collect::<Result<_>>()?;
        interleave(&parts, outer, out.values());
        Ok(out.into_tensor(&shape))
    })?;
    restored(out, dtype)
}

/// Copies the rows of all parts alternately.
fn interleave<T: Element>(parts: &[(&[T], usize)], n_rows: usize, mut out: &mut [T]) {
    for row in 0..n_rows {
        for (values, len) in parts {
            let target = out.split_off_mut(..*len).expect("the result holds all parts");
            match target {
                [target] => *target = values[row].clone(),
                target => target.clone_from_slice(&values[row * len..][..*len]),
            }
        }
    }
}

/// The tensors stacked along a new dimension.
pub(super) fn stack(tensors: &[&Tensor], axis: i64, call: &Call<'_, '_>) -> Result<Tensor> {
    let rank = tensors.first().map_or(0, |tensor| tensor.shape().len());
    let axis = axes::axis(axis, rank + 1)?;
    let with_axis = |tensor: &&Tensor| {
        let mut shape = tensor.shape().to_vec();
        shape.insert(axis.min(shape.len()), 1);
        tensor.reshaped(&shape).expect("dimensions of 1 keep the number of elements")
    };
    let tensors: Vec<Tensor> = tensors.iter().map(with_axis).collect();
    join(&tensors.iter().collect::<Vec<_>>(), axis as i64, call)
}

fn split(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (axis, attr, n_outputs) = (ctx.int("axis", 0)?, ctx.ints("split")?, ctx.op.int("num_outputs")?);
    // Without num_outputs, which exists from opset 18 on, the number of outputs counts, and all parts are equal.
    let (n_outputs, is_even) = match n_outputs.map(usize::try_from) {
        None => (ctx.outputs.len(), true),
        Some(Ok(n)) if (1..=ctx.outputs.len()).contains(&n) => (n, false),
        Some(_) => return Err(Error::invalid_model("num_outputs differs from the number of outputs")),
    };
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let axis = axes::axis(axis, x.shape().len())?;
        let len = x.shape()[axis];
        let lengths = match (&attr, call.optional(1)?) {
            (Some(list), _) => shape_of(list)?,
            (None, Some(list)) => shape_of(list.values()?)?,
            (None, None) if is_even && len % n_outputs.max(1) != 0 => {
                let message =
                    format!("axis {axis} of shape {:?} can't be split into {n_outputs} parts", x.shape());
                return Err(Error::invalid_data(message));
            }
            (None, None) => {
                let each = len.div_ceil(n_outputs.max(1));
                (0..n_outputs).map(|idx| each.min(len.saturating_sub(idx * each))).collect()
            }
        };
        Ok(parts(x, axis, &lengths, call)?.into_iter().map(Into::into).collect::<Outputs>())
    }))
}

/// The tensor, split into parts of these lengths along `axis`.
pub(super) fn parts(x: &Tensor, axis: usize, lengths: &[usize], call: &Call<'_, '_>) -> Result<Vec<Tensor>> {
    let len = x.shape()[axis];
    if lengths.iter().try_fold(0usize, |sum, &length| sum.checked_add(length)) != Some(len) {
        let message = format!("parts of {lengths:?} do not match axis {axis} of shape {:?}", x.shape());
        return Err(Error::invalid_data(message));
    }
    call.context.reserve(x.byte_size() as u64)?;
    let mut at = 0;
    let part = |&length: &usize| {
        let mut way = Strided::of(x.shape());
        way.start = at * way.dims[axis].step as usize;
        way.dims[axis].len = length;
        at += length;
        way.read(x, call)
    };
    lengths.iter().map(part).collect()
}

fn tile(call: &mut Call<'_, '_>) -> Result<Outputs> {
    let (x, repeats) = (call.tensor(0)?, shape_of(&integers(call.tensor(1)?)?)?);
    if repeats.len() != x.shape().len() {
        let message = format!("{} repeats do not match the shape {:?}", repeats.len(), x.shape());
        return Err(Error::invalid_data(message));
    }
    let own = Strided::of(x.shape()).dims;
    let dims = repeats.iter().zip(own).flat_map(|(&len, own)| [Dim { len, step: 0 }, own]).collect();
    let tiled = Strided { start: 0, dims }.read(x, call)?;
    let shape: Vec<usize> = repeats.iter().zip(x.shape()).map(|(n, dim)| n.saturating_mul(*dim)).collect();
    one(tiled.reshaped(&shape).expect("the number of elements is the same"))
}
