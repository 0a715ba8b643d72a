//! Sequences of tensors: construction, changes, and concatenation.

use super::concat::{join, parts, stack};
use crate::axes;
use crate::call::Call;
use crate::data::{Data, Sequence};
use crate::indices::{integer, integers, position};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, Outputs, one};
use crate::room::shape_of;
use intact8_ir::{DType, Error, Result, Tensor};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "ConcatFromSequence", opsets: 11..=NEWEST, types: &[], compile: concat_from_sequence },
    OpRow { name: "SequenceAt", opsets: 11..=NEWEST, types: &[], compile: |_| Ok(Box::new(at)) },
    OpRow { name: "SequenceConstruct", opsets: 11..=NEWEST, types: &[], compile: construct },
    OpRow { name: "SequenceEmpty", opsets: 11..=NEWEST, types: &[], compile: empty },
    OpRow { name: "SequenceErase", opsets: 11..=NEWEST, types: &[], compile: |_| Ok(Box::new(erase)) },
    OpRow { name: "SequenceInsert", opsets: 11..=NEWEST, types: &[], compile: |_| Ok(Box::new(insert)) },
    OpRow {
        name: "SequenceLength",
        opsets: 11..=NEWEST,
        types: &[],
        compile: |_| Ok(Box::new(|call| one(Tensor::scalar(sequence(call)?.len() as i64)))),
    },
    OpRow { name: "SplitToSequence", opsets: 11..=NEWEST, types: &[], compile: split_to_sequence },
];

/// The first operand.
fn sequence<'a>(call: &'a Call<'_, '_>) -> Result<&'a Sequence> {
    match call.operands.first() {
        Some(Some(Data::Sequence(sequence))) => Ok(sequence),
        Some(Some(other)) => Err(Error::invalid_data(format!("expected a sequence, found {}", other.what()))),
        _ => Err(Error::invalid_model("operand 0 is missing")),
    }
}

fn of_sequence(sequence: Sequence) -> Result<Outputs> {
    Ok(Outputs::from_iter([Data::Sequence(sequence)]))
}

fn construct(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let n_items = ctx.operands.len();
    Ok(Box::new(move |call| {
        call.context.reserve(Sequence::overhead(n_items))?;
        let items: Vec<Tensor> = (0..n_items).map(|slot| call.take(slot)).collect::<Result<_>>()?;
        items.windows(2).try_for_each(|pair| check_alike(pair[0].dtype(), pair[1].dtype()))?;
        of_sequence(items.into_iter().map(Data::Tensor).collect())
    }))
}

fn check_alike(of_others: DType, found: DType) -> Result<()> {
    if of_others == found {
        return Ok(());
    }
    Err(Error::invalid_data(format!("{found} can't be an item of a sequence of {of_others}")))
}

fn empty(ctx: &CompileContext<'_>) -> Result<Kernel> {
    ctx.dtype("dtype")?;
    Ok(Box::new(|_| of_sequence(Sequence::default())))
}

fn at(call: &mut Call<'_, '_>) -> Result<Outputs> {
    let sequence = sequence(call)?;
    let at = position(integer(call.tensor(1)?)?, sequence.len())?;
    Ok(Outputs::from_iter([sequence[at].clone()]))
}

/// Inserts before the item at a position, which may be the end, or at the end.
fn insert(call: &mut Call<'_, '_>) -> Result<Outputs> {
    let item = call.take(1)?;
    let n_items = sequence(call)?.len();
    let at = match call.optional(2)?.map(integer).transpose()? {
        Some(at) if at >= 0 => position(at, n_items + 1)?,
        Some(at) => position(at, n_items)?,
        None => n_items,
    };
    if let Some(Data::Tensor(first)) = sequence(call)?.first() {
        check_alike(first.dtype(), item.dtype())?;
    }
    let item = Data::Tensor(item);
    call.context.reserve(Sequence::overhead(1).saturating_add(item.byte_size()))?;
    let mut sequence = call.take_data(0)?.into_sequence()?;
    sequence.insert(at, item);
    of_sequence(sequence)
}

/// The item at a position, or the last.
fn erase(call: &mut Call<'_, '_>) -> Result<Outputs> {
    let at = call.optional(1)?.map(integer).transpose()?.unwrap_or(-1);
    let at = position(at, sequence(call)?.len())?;
    let mut sequence = call.take_data(0)?.into_sequence()?;
    sequence.remove(at);
    of_sequence(sequence)
}

/// Splits into parts of the length in a scalar, the last one with the rest, or of the lengths in a vector. Without
/// lengths each part has length 1, and only then the axis may be removed.
fn split_to_sequence(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (axis, keep_dims) = (ctx.int("axis", 0)?, ctx.flag("keepdims", true)?);
    Ok(Box::new(move |call| {
        let (x, split) = (call.tensor(0)?, call.optional(1)?);
        let axis = axes::axis(axis, x.shape().len())?;
        let len = x.shape()[axis];
        let lengths = match split {
            Some(split) if !split.shape().is_empty() => shape_of(&integers(split)?)?,
            split => {
                let each = split.map(integer).transpose()?.unwrap_or(1);
                let each = usize::try_from(each).ok().filter(|&each| each > 0).ok_or_else(|| {
                    Error::invalid_data(format!("the length of the parts must be positive, found {each}"))
                })?;
                call.context.reserve(Sequence::overhead(len.div_ceil(each)))?;
                (0..len).step_by(each).map(|begin| each.min(len - begin)).collect()
            }
        };
        call.context.reserve(Sequence::overhead(lengths.len()))?;
        let parts = parts(x, axis, &lengths, call)?;
        let mut shape = x.shape().to_vec();
        shape.remove(axis);
        let item = |part: Tensor| match split {
            None if !keep_dims => part.reshaped(&shape).expect("dimensions of 1 keep the number of elements"),
            _ => part,
        };
        of_sequence(parts.into_iter().map(|part| Data::Tensor(item(part))).collect())
    }))
}

fn concat_from_sequence(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let missing = || Error::invalid_model("op ConcatFromSequence must have the attribute axis");
    let (axis, new_axis) = (ctx.op.int("axis")?.ok_or_else(missing)?, ctx.flag("new_axis", false)?);
    Ok(Box::new(move |call| {
        let tensors: Vec<&Tensor> = sequence(call)?.iter().map(Data::as_tensor).collect::<Result<_>>()?;
        one(if new_axis { stack(&tensors, axis, call)? } else { join(&tensors, axis, call)? })
    }))
}
