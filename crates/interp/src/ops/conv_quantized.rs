//! Convolutions of quantized operands.

use super::conv::{ConvAttrs, ConvSizes, invalid};
use super::requantize::{bytes, only, scales, zero_points};
use crate::call::Call;
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, Operand, one};
use crate::real::expect_type;
use intact8_ir::{DType, Error, Result, Tensor, with_element};
use intact8_kernels::conv_integer::{PreparedConvInteger, ZeroPoints, prepare};
use intact8_kernels::quantize::requantize;

const BYTES: &[DType] = &[DType::I8, DType::U8];

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "ConvInteger", opsets: 10..=NEWEST, types: BYTES, compile: conv_integers },
    OpRow { name: "QLinearConv", opsets: 10..=NEWEST, types: BYTES, compile: qlinear_conv },
];

fn conv_integers(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let conv = IntegerConv::read(ctx, Slots { x_zero: 2, weight: 1, weight_zero: 3 })?;
    Ok(Box::new(move |call| {
        let sizes = conv.sizes(call)?;
        let mut sums = call.unset::<i32>(&sizes.out_shape)?;
        conv.run(call, &sizes, &mut sums, |_, sums, out| out.copy_from_slice(sums))?;
        one(Tensor::new(&sizes.out_shape, sums))
    }))
}

/// The bias is i32 and is added to the sums.
fn qlinear_conv(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let conv = IntegerConv::read(ctx, Slots { x_zero: 2, weight: 3, weight_zero: 5 })?;
    Ok(Box::new(move |call| {
        let sizes = conv.sizes(call)?;
        let channels = ChannelScales::of(call, sizes.shape.out_channels)?;
        with_element!(call.tensor(7)?.dtype(), [I8 U8], T => {
            let mut out = call.unset::<T>(&sizes.out_shape)?;
            let zero_point = only("zero point of the output", call.values::<T>(7)?)?;
            conv.run(call, &sizes, &mut out, |channel, sums, out| {
                let (factor, bias) = channels.0[channel];
                requantize(bias, factor, zero_point, sums, out);
            })?;
            one(Tensor::new(&sizes.out_shape, out))
        }, other => Err(Error::invalid_data(format!("the zero point of the output has the type {other}"))))
    }))
}

/// For each output channel, the bias of its sums and the factor of the result.
struct ChannelScales(Vec<(f32, i32)>);

impl ChannelScales {
    fn of(call: &Call<'_, '_>, n_channels: usize) -> Result<ChannelScales> {
        let x_scale = only("scale of the input", &scales(call.tensor(1)?)?)?;
        let y_scale = only("scale of the output", &scales(call.tensor(6)?)?)?;
        let weight_scales = scales(call.tensor(4)?)?;
        let bias = call.optional(8)?.map(Tensor::values::<i32>).transpose()?;
        let one_for_each = |len: usize| len == n_channels;
        if !(weight_scales.len() == 1 || one_for_each(weight_scales.len()))
            || !bias.is_none_or(|bias| one_for_each(bias.len()))
        {
            return Err(Error::invalid_data(format!("scales or bias do not match {n_channels} channels")));
        }
        let channel = |channel: usize| {
            let weight_scale = weight_scales[if weight_scales.len() == 1 { 0 } else { channel }];
            (x_scale * weight_scale / y_scale, bias.map_or(0, |bias| bias[channel]))
        };
        Ok(ChannelScales((0..n_channels).map(channel).collect()))
    }
}

/// A convolution of bytes; constant weights are packed once.
struct IntegerConv {
    attrs: ConvAttrs,
    slots: Slots,
    prepared: Option<PreparedConvInteger>,
}

/// The slots of the operands; the input is the first one.
#[derive(Clone, Copy)]
struct Slots {
    x_zero: usize,
    weight: usize,
    weight_zero: usize,
}

impl IntegerConv {
    fn read(ctx: &CompileContext<'_>, slots: Slots) -> Result<IntegerConv> {
        let attrs = ConvAttrs::read(ctx)?;
        let zero = ctx.operands.get(slots.weight_zero).copied().unwrap_or(Operand::Absent);
        let prepared = match (ctx.constant(slots.weight), zero) {
            (Some(weight), Operand::Absent) if is_fast(weight.shape()) => Some((weight, None)),
            (Some(weight), Operand::Constant(zero)) if is_fast(weight.shape()) => Some((weight, Some(zero))),
            _ => None,
        };
        let prepared = prepared.map(|(weight, zero)| {
            let shape = attrs.shape_of_weight(weight.shape())?;
            let zeros = weight_zeros(weight, zero, shape.out_channels)?;
            prepare(&shape, bytes(weight)?, ZeroPoints::Each(&zeros)).map_err(invalid)
        });
        Ok(IntegerConv { attrs, slots, prepared: prepared.transpose()? })
    }

    fn sizes(&self, call: &Call<'_, '_>) -> Result<ConvSizes> {
        self.attrs.over(call.tensor(0)?.shape(), call.tensor(self.slots.weight)?.shape())
    }

    /// `finish(channel, Σ (x - x zero) · (weight - weight zero))` for all of `out`.
    fn run<U: Send>(
        &self,
        call: &Call<'_, '_>,
        sizes: &ConvSizes,
        out: &mut [U],
        finish: impl Fn(usize, &[i32], &mut [U]) + Sync,
    ) -> Result<()> {
        let (x, weight) = (call.tensor(0)?, call.tensor(self.slots.weight)?);
        let x_zero = match call.optional(self.slots.x_zero)? {
            Some(zero) => only("zero point of the input", &zero_points(zero, x.dtype())?)?,
            None => 0,
        };
        if let Some(prepared) = &self.prepared {
            return prepared.run_then(&sizes.shape, bytes(x)?, x_zero, out, finish).map_err(invalid);
        }
        let n_channels = sizes.shape.out_channels;
        let zeros = weight_zeros(weight, call.optional(self.slots.weight_zero)?, n_channels)?;
        let (x, weight) = (bytes(x)?, bytes(weight)?);
        if is_fast(&sizes.out_shape) {
            let prepared = prepare(&sizes.shape, weight, ZeroPoints::Each(&zeros)).map_err(invalid)?;
            return prepared.run_then(&sizes.shape, x, x_zero, out, finish).map_err(invalid);
        }
        let per_channel = (weight.len() / zeros.len().max(1)).max(1);
        let x: Vec<i32> = (0..x.len()).map(|idx| x.at(idx) - x_zero).collect();
        let weight = (0..weight.len()).map(|idx| weight.at(idx) - zeros[idx / per_channel]);
        let mut sums = call.zeros::<i32>(&sizes.out_shape)?;
        sizes.convolve(&x, &weight.collect::<Vec<i32>>(), &mut sums);
        let plane_len = sizes.out_shape[2..].iter().product::<usize>().max(1);
        let planes = sums.chunks_exact(plane_len).zip(out.chunks_exact_mut(plane_len));
        planes.enumerate().for_each(|(idx, (sums, out))| finish(idx % n_channels, sums, out));
        Ok(())
    }
}

/// Whether there is a fast kernel for the number of dimensions.
fn is_fast(shape: &[usize]) -> bool {
    (3..=5).contains(&shape.len())
}

/// The zero points of the weight, one for each output channel.
fn weight_zeros(weight: &Tensor, zero: Option<&Tensor>, n_channels: usize) -> Result<Vec<i32>> {
    let Some(zero) = zero else { return Ok(vec![0; n_channels]) };
    expect_type(zero, weight.dtype())?;
    match zero_points(zero, weight.dtype())?.as_slice() {
        [zero] => Ok(vec![*zero; n_channels]),
        zeros if zeros.len() == n_channels => Ok(zeros.to_vec()),
        zeros => Err(Error::invalid_data(format!(
            "{} zero points do not match {n_channels} channels",
            zeros.len()
        ))),
    }
}
