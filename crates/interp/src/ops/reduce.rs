//! Reductions over axes.

mod folds;

use crate::axes::axes;
use crate::broadcast::for_each_row;
use crate::call::Call;
use crate::number::{Number, WIDE, unexpected};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use folds::{Fold, L1, L2, LogSum, Max, Mean, Min, Prod, Sum, SumSquare};
use intact8_ir::{DType, Result, Tensor, with_element};

/// The types of maxima and minima.
const ORDERED: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::Bf16,
    DType::I32,
    DType::U32,
    DType::I64,
    DType::U64,
    DType::I8,
    DType::U8,
    DType::Bool,
];

pub(super) static ROWS: &[OpRow] = &[
    row("ReduceL1", WIDE, |ctx| reduction(ctx, Reduction::L1)),
    row("ReduceL2", WIDE, |ctx| reduction(ctx, Reduction::L2)),
    row("ReduceLogSum", WIDE, |ctx| reduction(ctx, Reduction::LogSum)),
    row("ReduceLogSumExp", WIDE, |ctx| reduction(ctx, Reduction::LogSumExp)),
    row("ReduceMax", ORDERED, |ctx| reduction(ctx, Reduction::Max)),
    row("ReduceMean", WIDE, |ctx| reduction(ctx, Reduction::Mean)),
    row("ReduceMin", ORDERED, |ctx| reduction(ctx, Reduction::Min)),
    row("ReduceProd", WIDE, |ctx| reduction(ctx, Reduction::Prod)),
    row("ReduceSum", WIDE, |ctx| reduction(ctx, Reduction::Sum)),
    row("ReduceSumSquare", WIDE, |ctx| reduction(ctx, Reduction::SumSquare)),
];

const fn row(
    name: &'static str,
    types: &'static [DType],
    compile: fn(&CompileContext<'_>) -> Result<Kernel>,
) -> OpRow {
    OpRow { name, opsets: 1..=NEWEST, types, compile }
}

/// The kind of reduction.
#[derive(Clone, Copy)]
pub(super) enum Reduction {
    L1,
    L2,
    LogSum,
    LogSumExp,
    Max,
    Mean,
    Min,
    Prod,
    Sum,
    SumSquare,
}

/// The axes are an attribute, or an input from opset 18 on (for ReduceSum from 13 on). Without axes all are reduced, or
/// none with `noop_with_empty_axes`.
fn reduction(ctx: &CompileContext<'_>, reduction: Reduction) -> Result<Kernel> {
    let keep = ctx.flag("keepdims", true)?;
    let is_noop = ctx.flag("noop_with_empty_axes", false)?;
    let attribute = ctx.ints("axes")?.unwrap_or_default();
    Ok(Box::new(move |call| {
        let rank = call.tensor(0)?.shape().len();
        let listed = call.optional(1)?.map_or(Ok(attribute.as_slice()), Tensor::values::<i64>)?;
        let reduced = if listed.is_empty() && !is_noop { (0..rank).collect() } else { axes(listed, rank)? };
        let out = reduce(call, reduction, &reduced)?;
        if keep {
            return one(out);
        }
        let shape: Vec<usize> =
            (0..rank).filter(|axis| !reduced.contains(axis)).map(|axis| out.shape()[axis]).collect();
        one(out.reshaped(&shape).expect("only dimensions of 1 were removed"))
    }))
}

/// The first operand reduced over some axes, which stay as dimensions of 1.
pub(super) fn reduce(call: &Call<'_, '_>, reduction: Reduction, axes: &[usize]) -> Result<Tensor> {
    let x = call.tensor(0)?;
    let mut kept = x.shape().to_vec();
    axes.iter().for_each(|&axis| kept[axis] = 1);
    // Sums are stored in types of up to 64 bits.
    call.reserve::<f64>(&kept)?;
    match (x.dtype(), reduction) {
        (DType::Bool, _) => {
            let bytes: Vec<u8> = x.values::<bool>()?.iter().map(|&x| u8::from(x)).collect();
            let out = reduce_order(&Tensor::new(x.shape(), bytes), reduction, &kept)?;
            // For empty reductions the least and greatest byte represent false and true.
            let bools = out.values::<u8>()?.iter().map(|&x| x != 0);
            Ok(Tensor::new(&kept, bools.collect()))
        }
        (_, Reduction::Max | Reduction::Min) => reduce_order(x, reduction, &kept),
        _ => reduce_sum(x, reduction, &kept),
    }
}

fn reduce_order(x: &Tensor, reduction: Reduction, kept: &[usize]) -> Result<Tensor> {
    with_element!(x.dtype(), [F32 F64 F16 Bf16 I32 U32 I64 U64 I8 U8], T => {
        let (values, shape) = (x.values::<T>()?, x.shape());
        let out = match reduction {
            Reduction::Min => fold::<T, Min>(values, shape, kept),
            _ => fold::<T, Max>(values, shape, kept),
        };
        Ok(Tensor::new(kept, out))
    }, other => Err(unexpected(other)))
}

fn reduce_sum(x: &Tensor, reduction: Reduction, kept: &[usize]) -> Result<Tensor> {
    with_element!(x.dtype(), [F32 F64 F16 Bf16 I32 U32 I64 U64], T => {
        let (values, shape) = (x.values::<T>()?, x.shape());
        let out = match reduction {
            Reduction::L1 => fold::<T, L1>(values, shape, kept),
            Reduction::L2 => fold::<T, L2>(values, shape, kept),
            Reduction::LogSum => fold::<T, LogSum>(values, shape, kept),
            Reduction::LogSumExp => log_sum_exp(values, shape, kept),
            Reduction::Mean => fold::<T, Mean>(values, shape, kept),
            Reduction::Prod => fold::<T, Prod>(values, shape, kept),
            Reduction::SumSquare => fold::<T, SumSquare>(values, shape, kept),
            _ => fold::<T, Sum>(values, shape, kept),
        };
        Ok(Tensor::new(kept, out))
    }, other => Err(unexpected(other)))
}

/// Folds the elements of `shape` to `kept`, which has 1 where axes are reduced.
fn fold<T: Number, F: Fold<T>>(x: &[T], shape: &[usize], kept: &[usize]) -> Vec<T> {
    let mut totals = vec![F::NOTHING; kept.iter().product()];
    let mut rest = x;
    for_each_row([kept], shape, |[at], [step], n| {
        let (row, tail) = rest.split_at(n);
        rest = tail;
        match step {
            0 => totals[at] = F::both(totals[at], folds::row::<T, F>(row)),
            _ => totals[at..at + n].iter_mut().zip(row).for_each(|(total, &x)| *total = F::with(*total, x)),
        }
    });
    let n_folded = x.len() / totals.len().max(1);
    totals.into_iter().map(|total| F::result(total, n_folded)).collect()
}

/// `log Σ e^x`, with the largest element subtracted to avoid overflow.
fn log_sum_exp<T: Number>(x: &[T], shape: &[usize], kept: &[usize]) -> Vec<T> {
    let shift = |max: T| if max.to_f64().is_finite() { max.to_f64() } else { 0.0 };
    let shifts: Vec<f64> = fold::<T, Max>(x, shape, kept).into_iter().map(shift).collect();
    let mut sums = vec![0.0; shifts.len()];
    let mut rest = x;
    for_each_row([kept], shape, |[at], [step], n| {
        let (row, tail) = rest.split_at(n);
        rest = tail;
        for (idx, x) in row.iter().enumerate() {
            let at = at + idx * step;
            sums[at] += (x.to_f64() - shifts[at]).exp();
        }
    });
    sums.iter().zip(shifts).map(|(sum, shift)| T::from_f64(sum.ln() + shift)).collect()
}
