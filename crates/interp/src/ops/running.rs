//! Cumulative sums and products, and reversal of sequences.

use crate::axes::{self, Along};
use crate::indices::{integer, integers};
use crate::number::{NUMBERS, Number};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use crate::stand_in::{into_movable, into_widened, narrowed, restored, with_movable, with_widened};
use intact8_ir::{Element, Error, Result};

pub(super) static ROWS: &[OpRow] = &[
    OpRow {
        name: "CumProd",
        opsets: 26..=NEWEST,
        types: NUMBERS,
        compile: |ctx| cumulate(ctx, Kind::Product),
    },
    OpRow { name: "CumSum", opsets: 11..=NEWEST, types: NUMBERS, compile: |ctx| cumulate(ctx, Kind::Sum) },
    OpRow { name: "ReverseSequence", opsets: 10..=NEWEST, types: &[], compile: reverse_sequence },
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Sum,
    Product,
}

/// The direction, and whether an element is included in its own result.
#[derive(Debug, Clone, Copy)]
struct Way {
    exclusive: bool,
    reverse: bool,
}

fn cumulate(ctx: &CompileContext<'_>, kind: Kind) -> Result<Kernel> {
    let way = Way { exclusive: ctx.flag("exclusive", false)?, reverse: ctx.flag("reverse", false)? };
    Ok(Box::new(move |call| {
        let axis = integer(call.tensor(1)?)?;
        let x = call.take(0)?;
        let along = Along::of(x.shape(), axes::axis(axis, x.shape().len())?);
        let dtype = x.dtype();
        // 16-bit floats are rounded once, not in each step.
        let mut x = into_widened(x, call)?;
        with_widened!(x.dtype(), T => {
            run(kind, x.values_mut::<T>()?, along, way);
            Ok(())
        })?;
        one(narrowed(x, dtype)?)
    }))
}

fn run<T: Number>(kind: Kind, values: &mut [T], along: Along, way: Way) {
    match kind {
        Kind::Sum => accumulate(values, along, way, T::ZERO, T::add),
        Kind::Product => accumulate(values, along, way, T::ONE, T::mul),
    }
}

fn accumulate<T: Number>(values: &mut [T], along: Along, way: Way, neutral: T, f: impl Fn(T, T) -> T) {
    let Along { len, inner, .. } = along;
    if values.is_empty() {
        return;
    }
    let mut so_far = vec![neutral; inner];
    for block in values.chunks_exact_mut(len * inner) {
        so_far.fill(neutral);
        for idx in 0..len {
            let at = if way.reverse { len - 1 - idx } else { idx };
            for (value, so_far) in block[at * inner..][..inner].iter_mut().zip(&mut so_far) {
                let before = *so_far;
                *so_far = f(before, *value);
                *value = if way.exclusive { before } else { *so_far };
            }
        }
    }
}

/// Reverses the first steps of each sample, up to its length.
fn reverse_sequence(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (time_axis, batch_axis) = (ctx.int("time_axis", 0)?, ctx.int("batch_axis", 1)?);
    Ok(Box::new(move |call| {
        let lengths = integers(call.tensor(1)?)?.into_owned();
        let x = call.take(0)?;
        let axes = axes::axes(&[time_axis, batch_axis], x.shape().len())?;
        let (time_axis, batch_axis) = (axes[0], axes[1]);
        if time_axis.max(batch_axis) != 1 {
            return Err(Error::invalid_data("time_axis and batch_axis must be the first two dimensions"));
        }
        let (time, batch) = (x.shape()[time_axis], x.shape()[batch_axis]);
        let length = |&length: &i64| {
            let found = usize::try_from(length).ok().filter(|&length| length <= time);
            found.ok_or_else(|| {
                Error::invalid_data(format!("a sequence of {length} steps exceeds {time} steps"))
            })
        };
        let lengths: Vec<usize> = lengths.iter().map(length).collect::<Result<_>>()?;
        if lengths.len() != batch {
            return Err(Error::invalid_data(format!(
                "{} lengths do not match {batch} samples",
                lengths.len()
            )));
        }
        let inner: usize = x.shape()[2..].iter().product();
        let (step, sample) = if time_axis == 0 { (batch, 1) } else { (1, time) };
        let dtype = x.dtype();
        let mut x = into_movable(x, call)?;
        with_movable!(x.dtype(), T => {
            reverse(x.values_mut::<T>()?, &lengths, step * inner, sample * inner, inner);
            Ok(())
        })?;
        one(restored(x, dtype)?)
    }))
}

/// `step` is the distance between the steps of a sample, `sample` that between samples, in elements.
fn reverse<T: Element>(values: &mut [T], lengths: &[usize], step: usize, sample: usize, inner: usize) {
    if inner == 0 {
        return;
    }
    for (idx, &length) in lengths.iter().enumerate() {
        for early in 0..length / 2 {
            let late = idx * sample + (length - 1 - early) * step;
            let (front, back) = values.split_at_mut(late);
            front[idx * sample + early * step..][..inner].swap_with_slice(&mut back[..inner]);
        }
    }
}
