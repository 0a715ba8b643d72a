//! Pooling of bytes with channels last.

use super::super::conv::invalid;
use super::super::pool::PoolAttrs;
use super::super::requantize::bytes;
use super::{Coding, ResultType};
use crate::call::Call;
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use intact8_ir::{DType, Error, Result, Tensor, with_element};
use intact8_kernels::pool_bytes::{Divisor, PoolShape, Scaling, average_pool_bytes, max_pool_channels_last};

const BYTES: &[DType] = &[DType::I8, DType::U8];

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "AveragePool", opsets: 0..=NEWEST, types: BYTES, compile: average_pool },
    OpRow { name: "GlobalAveragePool", opsets: 0..=NEWEST, types: BYTES, compile: global_average_pool },
    OpRow { name: "MaxPool", opsets: 0..=NEWEST, types: BYTES, compile: max_pool },
];

/// The operand is one of bytes; padding is less than all of them.
fn max_pool(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let attrs = PoolAttrs::read(ctx)?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let (channels_first, channels) = channels_first(x)?;
        let sizes = attrs.over(&channels_first)?;
        let out_shape = channels_last(&sizes.out_shape);
        with_element!(x.dtype(), [I8 U8], T => {
            let mut out = call.unset::<T>(&out_shape)?;
            max_pool_channels_last(&sizes.shape, channels, x.values::<T>()?, &mut out).map_err(invalid)?;
            one(Tensor::new(&out_shape, out))
        }, other => Err(Error::unsupported(format!("no kernel for a MaxPool of {other}"))))
    }))
}

/// The operands are bytes, their scale and zero point, and those of the result.
fn average_pool(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let attrs = PoolAttrs::read(ctx)?;
    let divisor =
        if ctx.flag("count_include_pad", false)? { Divisor::InsideAndPadding } else { Divisor::Inside };
    average(ctx, divisor, move |shape| {
        let sizes = attrs.over(shape)?;
        Ok((sizes.shape, sizes.out_shape))
    })
}

/// The operands are as those of an AveragePool.
fn global_average_pool(ctx: &CompileContext<'_>) -> Result<Kernel> {
    average(ctx, Divisor::Inside, |shape| {
        let [batch, channels, spatial @ ..] = shape else {
            return Err(Error::invalid_data("a pooling needs a batch and channels"));
        };
        let ones = vec![1; spatial.len()];
        let shape = PoolShape {
            planes: batch.saturating_mul(*channels),
            input: spatial.to_vec(),
            output: ones.clone(),
            kernel: spatial.to_vec(),
            strides: ones.clone(),
            dilations: ones.clone(),
            pads_begin: vec![0; spatial.len()],
            pads_end: vec![0; spatial.len()],
        };
        Ok((shape, [&[*batch, *channels], ones.as_slice()].concat()))
    })
}

/// `sizes` returns the shape of the pooling and that of the result for an input, with channels second.
fn average(
    ctx: &CompileContext<'_>,
    divisor: Divisor,
    sizes: impl Fn(&[usize]) -> Result<(PoolShape, Vec<usize>)> + Send + Sync + 'static,
) -> Result<Kernel> {
    let x_coding = Coding::read(ctx, 1, 2, DType::U8)?;
    let (result, scale) = ResultType::read(ctx, 3, 4)?;
    let scaling = Scaling { input_zero: x_coding.zero, factor: x_coding.scale / scale };
    Ok(Box::new(move |call: &mut Call<'_, '_>| {
        let x = call.tensor(0)?;
        let (channels_first, channels) = channels_first(x)?;
        let (shape, out_shape) = sizes(&channels_first)?;
        result.write(call, &channels_last(&out_shape), |output| {
            average_pool_bytes(&shape, channels, divisor, bytes(x)?, scaling, output).map_err(invalid)
        })
    }))
}

/// The shape of an operand with its channels second, and their number.
fn channels_first(x: &Tensor) -> Result<(Vec<usize>, usize)> {
    match x.shape() {
        [batch, spatial @ .., channels] if !spatial.is_empty() => {
            Ok(([&[*batch, *channels], spatial].concat(), *channels))
        }
        shape => Err(Error::invalid_data(format!("the input must not have the shape {shape:?}"))),
    }
}

fn channels_last(shape: &[usize]) -> Vec<usize> {
    [&shape[..1], &shape[2..], &shape[1..2]].concat()
}
