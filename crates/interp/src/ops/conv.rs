//! Convolutions.

use super::taps::Taps;
use crate::call::Call;
use crate::number::{FLOATS, Number};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use crate::real::{Real, expect_type, numbers, rounded, with_real};
use intact8_ir::{DType, Error, Result, Tensor, WindowAttributes};
use intact8_kernels::conv::{ConvShape, PreparedConv, prepare};

pub(super) static ROWS: &[OpRow] =
    &[OpRow { name: "Conv", opsets: 1..=NEWEST, types: FLOATS, compile: conv }];

/// Constant weights are packed once.
fn conv(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let attrs = ConvAttrs::read(ctx)?;
    let prepared = match ctx.constant(1) {
        Some(weight) if is_fast(weight.dtype(), weight.shape()) => Some(attrs.prepared(weight)?),
        _ => None,
    };
    Ok(Box::new(move |call| {
        let (x, weight) = (call.tensor(0)?, call.tensor(1)?);
        let dtype = x.dtype();
        expect_type(weight, dtype)?;
        let sizes = attrs.over(x.shape(), weight.shape())?;
        if !is_fast(dtype, x.shape()) {
            return with_real!(dtype, R => convolve_plainly::<R>(call, &sizes));
        }
        let mut out = call.unset::<f32>(&sizes.out_shape)?;
        let x = numbers::<f32>(x, dtype)?;
        let bias = call.optional(2)?.map(|bias| numbers::<f32>(bias, dtype)).transpose()?;
        match &prepared {
            Some(prepared) => prepared.run(&sizes.shape, &x, bias.as_deref(), &mut out),
            None => {
                let weight = numbers::<f32>(weight, dtype)?;
                intact8_kernels::conv::conv(&sizes.shape, &x, &weight, bias.as_deref(), &mut out)
            }
        }
        .map_err(invalid)?;
        one(rounded(dtype, &sizes.out_shape, out)?)
    }))
}

/// Whether there is a fast kernel for the type and the number of dimensions.
fn is_fast(dtype: DType, shape: &[usize]) -> bool {
    dtype != DType::F64 && (3..=5).contains(&shape.len())
}

fn convolve_plainly<R: Real>(call: &Call<'_, '_>, sizes: &ConvSizes) -> Result<crate::op::Outputs> {
    let (x, weight) = (call.tensor(0)?, call.tensor(1)?);
    let dtype = x.dtype();
    let mut out = call.zeros::<R>(&sizes.out_shape)?;
    if let Some(bias) = call.optional(2)? {
        let plane_len = sizes.out_shape[2..].iter().product();
        fill_channels(&numbers::<R>(bias, dtype)?, sizes.shape.out_channels, &mut out, plane_len)?;
    }
    sizes.convolve(&numbers::<R>(x, dtype)?, &numbers::<R>(weight, dtype)?, &mut out);
    one(rounded(dtype, &sizes.out_shape, out)?)
}

/// The attributes of a convolution.
pub(super) struct ConvAttrs {
    window: WindowAttributes,
    groups: usize,
}

/// The sizes of a convolution for operands with known shapes.
pub(super) struct ConvSizes {
    pub(super) shape: ConvShape,
    pub(super) out_shape: Vec<usize>,
    taps: Taps,
}

impl ConvAttrs {
    pub(super) fn read(ctx: &CompileContext<'_>) -> Result<ConvAttrs> {
        Ok(ConvAttrs { window: WindowAttributes::of(ctx.op)?, groups: groups(ctx)? })
    }

    /// The sizes for an input `[batch, channels, …]` and a weight `[channels, channels / groups, …]`.
    pub(super) fn over(&self, x: &[usize], weight: &[usize]) -> Result<ConvSizes> {
        let groups = self.groups;
        let fit = |&[_, in_channels]: &[usize; 2], &[out_channels, group_channels]: &[usize; 2]| {
            in_channels.checked_div(groups) == Some(group_channels)
                && in_channels.is_multiple_of(groups)
                && out_channels.is_multiple_of(groups)
        };
        let (Some((x_head, input)), Some((weight_head, kernel))) =
            (x.split_first_chunk::<2>(), weight.split_first_chunk::<2>())
        else {
            return Err(misfit(x, weight, groups));
        };
        if !fit(x_head, weight_head) || input.len() != kernel.len() {
            return Err(misfit(x, weight, groups));
        }
        let window = self.window.over(input, Some(kernel))?;
        let output = window.output(input, false)?;
        let taps = Taps::new(&window, input, &output);
        let out_shape = [&[x_head[0], weight_head[0]], output.as_slice()].concat();
        let shape = ConvShape {
            batch: x_head[0],
            in_channels: x_head[1],
            out_channels: weight_head[0],
            groups,
            input: input.to_vec(),
            kernel: window.kernel,
            strides: window.strides,
            dilations: window.dilations,
            pads_begin: window.pads_begin,
            pads_end: window.pads_end,
        };
        Ok(ConvSizes { shape, out_shape, taps })
    }

    /// A shape for [`prepare`] before the input is known.
    pub(super) fn shape_of_weight(&self, weight: &[usize]) -> Result<ConvShape> {
        let [out_channels, group_channels, kernel @ ..] = weight else {
            return Err(misfit(&[], weight, self.groups));
        };
        let in_channels =
            group_channels.checked_mul(self.groups).ok_or_else(|| misfit(&[], weight, self.groups))?;
        let ones = vec![1; kernel.len()];
        Ok(ConvShape {
            batch: 1,
            in_channels,
            out_channels: *out_channels,
            groups: self.groups,
            input: kernel.to_vec(),
            kernel: kernel.to_vec(),
            strides: ones.clone(),
            dilations: ones,
            pads_begin: vec![0; kernel.len()],
            pads_end: vec![0; kernel.len()],
        })
    }

    /// As [`shape_of_weight`](Self::shape_of_weight), with strides and dilations.
    pub(super) fn shape_of_window(&self, weight: &[usize]) -> Result<ConvShape> {
        let mut shape = self.shape_of_weight(weight)?;
        let window = self.window.over(&vec![1; shape.kernel.len()], Some(&shape.kernel))?;
        let reach = |(kernel, dilation): (&usize, &usize)| {
            (kernel.saturating_sub(1)).saturating_mul(*dilation).saturating_add(1)
        };
        shape.input = shape.kernel.iter().zip(&window.dilations).map(reach).collect();
        (shape.strides, shape.dilations) = (window.strides, window.dilations);
        Ok(shape)
    }

    fn prepared(&self, weight: &Tensor) -> Result<PreparedConv> {
        let values = numbers::<f32>(weight, weight.dtype())?;
        prepare(&self.shape_of_weight(weight.shape())?, &values).map_err(invalid)
    }
}

impl ConvSizes {
    /// Adds the convolution to `out`, for cases without a fast kernel.
    pub(super) fn convolve<T: Number>(&self, input: &[T], weight: &[T], out: &mut [T]) {
        let ConvShape { in_channels, out_channels, groups, .. } = self.shape;
        let (group_inputs, group_outputs) = (in_channels / groups, out_channels / groups);
        let [in_len, out_len] =
            [&self.shape.input[..], &self.out_shape[2..]].map(|sizes| sizes.iter().product::<usize>());
        if out.is_empty() || input.is_empty() {
            return;
        }
        let n_taps = weight.len() / (out_channels * group_inputs);
        for (idx, out) in out.chunks_exact_mut(out_len).enumerate() {
            let (image, channel) = (idx / out_channels, idx % out_channels);
            let first = image * in_channels + channel / group_outputs * group_inputs;
            let planes = input[first * in_len..].chunks_exact(in_len).take(group_inputs);
            let weights = weight[channel * group_inputs * n_taps..].chunks_exact(n_taps);
            for (plane, weights) in planes.zip(weights) {
                self.taps.for_each_run(|run| {
                    let (from, weight) = (plane[run.source..].iter().step_by(run.step), weights[run.tap]);
                    let to = &mut out[run.target..run.target + run.len];
                    to.iter_mut().zip(from).for_each(|(y, x)| *y = y.add(x.mul(weight)));
                });
            }
        }
    }
}

/// Fills the planes of each channel with its bias.
pub(super) fn fill_channels<T: Copy>(
    bias: &[T],
    n_channels: usize,
    out: &mut [T],
    plane_len: usize,
) -> Result<()> {
    if bias.len() != n_channels {
        let found = bias.len();
        return Err(Error::invalid_data(format!(
            "the bias has {found} elements, but there are {n_channels} channels"
        )));
    }
    for (plane, &bias) in out.chunks_exact_mut(plane_len.max(1)).zip(bias.iter().cycle()) {
        plane.fill(bias);
    }
    Ok(())
}

/// The attribute `group`.
pub(super) fn groups(ctx: &CompileContext<'_>) -> Result<usize> {
    let groups = usize::try_from(ctx.int("group", 1)?).ok().filter(|&groups| groups > 0);
    groups.ok_or_else(|| Error::invalid_model("group must be positive"))
}

/// The error for operands whose shapes do not match.
pub(super) fn misfit(x: &[usize], weight: &[usize], groups: usize) -> Error {
    Error::invalid_data(format!(
        "an input of shape {x:?} and a weight of shape {weight:?} do not match for {groups} groups"
    ))
}

/// Errors of the kernels are errors of the data.
pub(super) fn invalid(error: intact8_kernels::Error) -> Error {
    Error::invalid_data(error.to_string())
}
