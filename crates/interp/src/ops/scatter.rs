//! Scattering: writing elements, or blocks of them, to positions in another tensor.

use super::gather::{TupleBlocks, blocks_at_tuples, element_indices};
use crate::axes::{self, Along};
use crate::call::Call;
use crate::indices::integers;
use crate::number::{Number, by_value, with_number};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, Outputs, one};
use crate::real::expect_type;
use crate::stand_in::{into_movable, movable, restored, with_movable};
use intact8_ir::{DType, Element, Error, Result, Tensor};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Scatter", opsets: 9..=NEWEST, types: &[], compile: scatter_elements },
    OpRow { name: "ScatterElements", opsets: 11..=NEWEST, types: &[], compile: scatter_elements },
    OpRow { name: "ScatterND", opsets: 11..=NEWEST, types: &[], compile: scatter_nd },
    OpRow { name: "TensorScatter", opsets: 24..=NEWEST, types: &[], compile: tensor_scatter },
];

/// The combination of old and new element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reduction {
    Replace,
    Add,
    Mul,
    Max,
    Min,
}

fn reduction(ctx: &CompileContext<'_>) -> Result<Reduction> {
    match ctx.str("reduction", "none")? {
        "none" => Ok(Reduction::Replace),
        "add" => Ok(Reduction::Add),
        "mul" => Ok(Reduction::Mul),
        "max" => Ok(Reduction::Max),
        "min" => Ok(Reduction::Min),
        other => Err(Error::invalid_model(format!("reduction {other:?} is not defined by ONNX"))),
    }
}

fn scatter_elements(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (axis, reduction) = (ctx.int("axis", 0)?, reduction(ctx)?);
    Ok(Box::new(move |call| {
        let indices = call.tensor(1)?;
        let starts = element_indices(call.tensor(0)?.shape(), indices, axis, call)?;
        let shape = indices.shape().to_vec();
        scattered(call, &TupleBlocks { starts, len: 1, shape }, reduction)
    }))
}

fn scatter_nd(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let reduction = reduction(ctx)?;
    Ok(Box::new(move |call| {
        let blocks = blocks_at_tuples(call.tensor(0)?.shape(), call.tensor(1)?, 0)?;
        scattered(call, &blocks, reduction)
    }))
}

/// Operand 0 with the blocks of operand 2 at their positions.
fn scattered(call: &mut Call<'_, '_>, blocks: &TupleBlocks, reduction: Reduction) -> Result<Outputs> {
    let updates = call.take(2)?;
    if updates.shape() != blocks.shape {
        let (found, expected) = (updates.shape(), &blocks.shape);
        return Err(Error::invalid_data(format!(
            "updates must have the shape {expected:?}, found {found:?}"
        )));
    }
    let mut data = call.take(0)?;
    match (data.dtype(), reduction) {
        (dtype, Reduction::Replace) => {
            expect_type(&updates, dtype)?;
            let updates = movable(&updates, call)?;
            data = into_movable(data, call)?;
            with_movable!(data.dtype(), T => {
                let (data, updates) = (data.values_mut::<T>()?, updates.values::<T>()?);
                for (&start, block) in blocks.starts.iter().zip(updates.chunks_exact(blocks.len.max(1))) {
                    data[start..start + blocks.len].clone_from_slice(block);
                }
                Ok(())
            })?;
            data = restored(data, dtype)?;
        }
        (DType::Bool, Reduction::Add | Reduction::Max) => {
            combine(&mut data, &updates, blocks, |a: bool, b| a | b)?
        }
        (DType::Bool, Reduction::Mul | Reduction::Min) => {
            combine(&mut data, &updates, blocks, |a: bool, b| a & b)?
        }
        (dtype, _) => with_number!(dtype, T => match reduction {
            Reduction::Add => combine(&mut data, &updates, blocks, T::add),
            Reduction::Mul => combine(&mut data, &updates, blocks, T::mul),
            Reduction::Max => combine(&mut data, &updates, blocks, |a: T, b| if by_value(&b, &a).is_gt() { b } else { a }),
            _ => combine(&mut data, &updates, blocks, |a: T, b| {
                if !a.is_nan() && (b.is_nan() || b < a) { b } else { a }
            }),
        })?,
    }
    one(data)
}

fn combine<T: Element + Copy>(
    data: &mut Tensor,
    updates: &Tensor,
    blocks: &TupleBlocks,
    f: impl Fn(T, T) -> T,
) -> Result<()> {
    let (data, updates) = (data.values_mut::<T>()?, updates.values::<T>()?);
    for (&start, block) in blocks.starts.iter().zip(updates.chunks_exact(blocks.len.max(1))) {
        data[start..start + blocks.len].iter_mut().zip(block).for_each(|(a, &b)| *a = f(*a, b));
    }
    Ok(())
}

/// Writes the steps of each sample in operand 1 to operand 0, from the index in operand 2 on; `circular` wraps around.
fn tensor_scatter(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let axis = ctx.int("axis", -2)?;
    let is_circular = match ctx.str("mode", "linear")? {
        "linear" => false,
        "circular" => true,
        other => return Err(Error::invalid_model(format!("mode {other:?} is not defined by ONNX"))),
    };
    Ok(Box::new(move |call| {
        let cache = call.take(0)?;
        let (update, shape) = (call.tensor(1)?, cache.shape().to_vec());
        let axis = axes::axis(axis, shape.len())?;
        let Along { outer, len, inner } = Along::of(&shape, axis);
        let n_steps = update.shape().get(axis).copied().unwrap_or(0);
        let mut expected = shape.clone();
        expected[axis] = n_steps;
        if axis == 0 || update.shape() != expected || n_steps > len {
            let message = format!("updates of shape {:?} do not match the shape {shape:?}", update.shape());
            return Err(Error::invalid_data(message));
        }
        let starts = match call.optional(2)? {
            Some(starts) if starts.len() != shape[0] => {
                return Err(Error::invalid_data(format!(
                    "{} starts do not match {} samples",
                    starts.len(),
                    shape[0]
                )));
            }
            Some(starts) => integers(starts)?.into_owned(),
            None => vec![0; shape[0]],
        };
        let start = |&start: &i64| match usize::try_from(start) {
            Ok(start) if is_circular => Ok(start % len.max(1)),
            Ok(start) if start <= len - n_steps => Ok(start),
            _ => Err(Error::invalid_data(format!("{n_steps} steps from {start} on exceed {len}"))),
        };
        let starts: Vec<usize> = starts.iter().map(start).collect::<Result<_>>()?;
        let rows = outer / shape[0].max(1);
        let dtype = cache.dtype();
        expect_type(update, dtype)?;
        let (mut cache, update) = (into_movable(cache, call)?, movable(update, call)?);
        with_movable!(cache.dtype(), T => {
            let (out, update) = (cache.values_mut::<T>()?, update.values::<T>()?);
            let rows_of = |row: usize| (&starts[row / rows.max(1)], &update[row * n_steps * inner..][..n_steps * inner]);
            for (row, out) in out.chunks_exact_mut((len * inner).max(1)).enumerate() {
                let (&start, steps) = rows_of(row);
                let (first, rest) = steps.split_at(n_steps.min(len - start) * inner);
                out[start * inner..][..first.len()].clone_from_slice(first);
                out[..rest.len()].clone_from_slice(rest);
            }
            Ok(())
        })?;
        one(restored(cache, dtype)?)
    }))
}
