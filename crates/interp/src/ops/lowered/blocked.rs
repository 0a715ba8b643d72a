//! Convolution and pooling of floats in blocks of 16 channels, `[batch, blocks, spatial…, 16]`, and the change of layout.

use super::super::conv::{ConvAttrs, invalid};
use super::super::pool::PoolAttrs;
use super::{activation, add_broadcast, constant};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use intact8_ir::{DType, Error, Result, Tensor};
use intact8_kernels::blocked::{BLOCK, Layout, PlaneSizes, from_blocked, to_blocked};
use intact8_kernels::conv::ConvShape;
use intact8_kernels::conv_blocked::{Epilogue, PreparedConvBlocked, prepare};
use intact8_kernels::pool::Divisor;
use intact8_kernels::pool_blocked::{average_pool_blocked, global_average_blocked, max_pool_blocked};
use std::sync::OnceLock;

const FLOATS: &[DType] = &[DType::F32];

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Block", opsets: 0..=NEWEST, types: FLOATS, compile: |_| Ok(block()) },
    OpRow { name: "BlockedAveragePool", opsets: 0..=NEWEST, types: FLOATS, compile: average_pool },
    OpRow { name: "BlockedConv", opsets: 0..=NEWEST, types: FLOATS, compile: conv },
    OpRow {
        name: "BlockedGlobalAveragePool",
        opsets: 0..=NEWEST,
        types: FLOATS,
        compile: |_| Ok(global_average_pool()),
    },
    OpRow { name: "BlockedMaxPool", opsets: 0..=NEWEST, types: FLOATS, compile: max_pool },
    OpRow { name: "Unblock", opsets: 0..=NEWEST, types: FLOATS, compile: unblock },
];

fn block() -> Kernel {
    Box::new(|call| {
        let x = call.tensor(0)?;
        let [batch, channels, spatial @ ..] = x.shape() else { return Err(no_channels(x)) };
        let sizes = PlaneSizes { batch: *batch, channels: *channels, positions: spatial.iter().product() };
        let shape = [&[*batch, channels.div_ceil(BLOCK)], spatial, &[BLOCK]].concat();
        let mut out = call.aligned::<f32>(&shape)?;
        to_blocked(sizes, x.values()?, out.values());
        one(out.into_tensor(&shape))
    })
}

/// The attribute `channels` is their number.
fn unblock(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let channels = usize::try_from(ctx.int("channels", 0)?).unwrap_or(0);
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let (batch, blocks, spatial) = parts(x)?;
        if channels.div_ceil(BLOCK) != blocks {
            return Err(Error::invalid_data(format!("{blocks} blocks do not hold {channels} channels")));
        }
        let shape = [&[batch, channels], spatial].concat();
        let mut out = call.aligned::<f32>(&shape)?;
        let sizes = PlaneSizes { batch, channels, positions: spatial.iter().product() };
        from_blocked(sizes, x.values()?, out.values());
        one(out.into_tensor(&shape))
    }))
}

/// The weights are packed for the sizes of the first run.
fn conv(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let attrs = ConvAttrs::read(ctx)?;
    let weight = constant(ctx, 1)?.clone();
    let bias = ctx.constant(2).cloned();
    let layout = if ctx.flag("plain", false)? { Layout::Plain } else { Layout::Blocked };
    let activation = activation(ctx)?;
    let first: OnceLock<(Sizes, PreparedConvBlocked)> = OnceLock::new();
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let sizes = || Sizes::of(&attrs, layout, x, weight.shape());
        let (of_first, prepared) = match first.get() {
            Some(first) => first,
            None => {
                let bias = bias.as_ref().map(Tensor::values::<f32>).transpose()?;
                let sizes = sizes()?;
                let prepared = prepare(&sizes.conv, layout, weight.values()?, bias).map_err(invalid)?;
                first.get_or_init(|| (sizes, prepared))
            }
        };
        let fresh = (of_first.x != x.shape()).then(sizes).transpose()?;
        let Sizes { conv, out: shape, .. } = fresh.as_ref().unwrap_or(of_first);
        let mut out = call.aligned::<f32>(shape)?;
        let summand = call.optional(3)?;
        let is_alike = summand.is_none_or(|summand| summand.shape() == shape);
        if !is_alike {
            prepared.run(conv, x.values()?, Epilogue::default(), out.values()).map_err(invalid)?;
            return add_broadcast(call, (out.values(), shape), call.tensor(3)?, activation);
        }
        let residual = summand.map(Tensor::values::<f32>).transpose()?;
        let epilogue = Epilogue { residual, activation };
        prepared.run(conv, x.values()?, epilogue, out.values()).map_err(invalid)?;
        one(out.into_tensor(shape))
    }))
}

/// The sizes of a convolution for an input of a shape.
struct Sizes {
    x: Vec<usize>,
    conv: ConvShape,
    /// The shape of the result, in blocks.
    out: Vec<usize>,
}

impl Sizes {
    fn of(attrs: &ConvAttrs, layout: Layout, x: &Tensor, weight: &[usize]) -> Result<Sizes> {
        let in_channels = attrs.shape_of_weight(weight)?.in_channels;
        let plain = match layout {
            Layout::Plain => x.shape().to_vec(),
            Layout::Blocked => {
                let (batch, blocks, spatial) = parts(x)?;
                if in_channels.div_ceil(BLOCK) != blocks {
                    let message = format!("{blocks} blocks do not hold {in_channels} channels");
                    return Err(Error::invalid_data(message));
                }
                [&[batch, in_channels], spatial].concat()
            }
        };
        let sizes = attrs.over(&plain, weight)?;
        let [batch, out_channels, spatial @ ..] = &sizes.out_shape[..] else { return Err(no_channels(x)) };
        Ok(Sizes {
            x: x.shape().to_vec(),
            conv: without_unit_dimensions(&sizes.shape, spatial),
            out: [&[*batch, out_channels.div_ceil(BLOCK)], spatial, &[BLOCK]].concat(),
        })
    }
}

/// The same convolution without dimensions of one position, so that the last one, along which kernels are fastest, is long.
fn without_unit_dimensions(shape: &ConvShape, output: &[usize]) -> ConvShape {
    let is_unit = |axis: usize| {
        let sizes = [shape.input[axis], shape.kernel[axis], output[axis]];
        sizes == [1; 3] && shape.pads_begin[axis] == 0
    };
    let mut kept: Vec<usize> = (0..shape.input.len()).filter(|&axis| !is_unit(axis)).collect();
    if kept.is_empty() {
        kept.push(0);
    }
    let of = |sizes: &[usize]| kept.iter().map(|&axis| sizes[axis]).collect();
    ConvShape {
        input: of(&shape.input),
        kernel: of(&shape.kernel),
        strides: of(&shape.strides),
        dilations: of(&shape.dilations),
        pads_begin: of(&shape.pads_begin),
        pads_end: of(&shape.pads_end),
        ..shape.clone()
    }
}

fn max_pool(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let attrs = PoolAttrs::read(ctx)?;
    Ok(Box::new(move |call| {
        let (batch, blocks, spatial) = parts(call.tensor(0)?)?;
        let sizes = attrs.over(&[&[batch, blocks], spatial].concat())?;
        let shape = [&sizes.out_shape[..], &[BLOCK]].concat();
        let mut out = call.aligned::<f32>(&shape)?;
        max_pool_blocked(&sizes.shape, call.values(0)?, out.values()).map_err(invalid)?;
        one(out.into_tensor(&shape))
    }))
}

fn average_pool(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let attrs = PoolAttrs::read(ctx)?;
    let divisor =
        if ctx.flag("count_include_pad", false)? { Divisor::InsideAndPadding } else { Divisor::Inside };
    Ok(Box::new(move |call| {
        let (batch, blocks, spatial) = parts(call.tensor(0)?)?;
        let sizes = attrs.over(&[&[batch, blocks], spatial].concat())?;
        let shape = [&sizes.out_shape[..], &[BLOCK]].concat();
        let mut out = call.aligned::<f32>(&shape)?;
        average_pool_blocked(&sizes.shape, divisor, call.values(0)?, out.values()).map_err(invalid)?;
        one(out.into_tensor(&shape))
    }))
}

fn global_average_pool() -> Kernel {
    Box::new(|call| {
        let (batch, blocks, spatial) = parts(call.tensor(0)?)?;
        let shape = [&[batch, blocks], &vec![1; spatial.len()][..], &[BLOCK]].concat();
        let mut out = call.aligned::<f32>(&shape)?;
        global_average_blocked(batch * blocks, call.values(0)?, out.values()).map_err(invalid)?;
        one(out.into_tensor(&shape))
    })
}

/// Batch, blocks and spatial sizes of a tensor in blocks.
fn parts(x: &Tensor) -> Result<(usize, usize, &[usize])> {
    match x.shape() {
        [batch, blocks, spatial @ .., BLOCK] => Ok((*batch, *blocks, spatial)),
        _ => Err(no_channels(x)),
    }
}

fn no_channels(x: &Tensor) -> Error {
    Error::invalid_data(format!("a tensor of shape {:?} has no channels of images", x.shape()))
}
