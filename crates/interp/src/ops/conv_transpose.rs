//! Transposed convolutions.

use super::conv::{fill_channels, groups, invalid, misfit};
use super::taps::Taps;
use crate::call::Call;
use crate::number::{FLOATS, Number};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, Outputs, one};
use crate::real::{Real, expect_type, numbers, rounded, with_real};
use intact8_ir::{
    DType, Error, Padding, Result, Tensor, Window, WindowAttributes, check_sizes, explicit_pads,
    split_padding,
};
use intact8_kernels::conv_transpose::{ConvTransposeShape, PreparedConvTranspose, prepare};

pub(super) static ROWS: &[OpRow] =
    &[OpRow { name: "ConvTranspose", opsets: 1..=NEWEST, types: FLOATS, compile: conv_transpose }];

/// Constant weights are packed once.
fn conv_transpose(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let attrs = TransposeAttrs {
        window: WindowAttributes::of(ctx.op)?,
        groups: groups(ctx)?,
        output_padding: ctx.op.sizes("output_padding", 0)?,
        output_shape: ctx.op.sizes("output_shape", 0)?,
    };
    let prepared = match ctx.constant(1) {
        Some(weight) if is_fast(weight.dtype(), weight.shape()) => Some(attrs.prepared(weight)?),
        _ => None,
    };
    Ok(Box::new(move |call| {
        let (x, weight) = (call.tensor(0)?, call.tensor(1)?);
        let dtype = x.dtype();
        expect_type(weight, dtype)?;
        let (shape, window) = attrs.over(x.shape(), weight.shape())?;
        let out_shape = [&[shape.batch, shape.out_channels], shape.output.as_slice()].concat();
        if !is_fast(dtype, x.shape()) {
            return with_real!(dtype, R => scatter::<R>(call, &shape, &window, &out_shape));
        }
        let mut out = call.zeros::<f32>(&out_shape)?;
        let x = numbers::<f32>(x, dtype)?;
        let bias = call.optional(2)?.map(|bias| numbers::<f32>(bias, dtype)).transpose()?;
        match &prepared {
            Some(prepared) => prepared.run(&shape, &x, bias.as_deref(), &mut out),
            None => {
                let weight = numbers::<f32>(weight, dtype)?;
                prepare(&shape, &weight).and_then(|fresh| fresh.run(&shape, &x, bias.as_deref(), &mut out))
            }
        }
        .map_err(invalid)?;
        one(rounded(dtype, &out_shape, out)?)
    }))
}

/// Whether there is a fast kernel for the type and the number of dimensions.
fn is_fast(dtype: DType, shape: &[usize]) -> bool {
    dtype != DType::F64 && (3..=5).contains(&shape.len())
}

struct TransposeAttrs {
    window: WindowAttributes,
    groups: usize,
    output_padding: Option<Vec<usize>>,
    output_shape: Option<Vec<usize>>,
}

impl TransposeAttrs {
    /// The sizes for an input `[batch, channels, …]` and a weight `[channels, out channels / groups, …]`.
    fn over(&self, x: &[usize], weight: &[usize]) -> Result<(ConvTransposeShape, Window)> {
        let misfit = || misfit(x, weight, self.groups);
        let ([batch, in_channels, input @ ..], [weight_channels, group_channels, kernel @ ..]) = (x, weight)
        else {
            return Err(misfit());
        };
        if in_channels != weight_channels || !in_channels.is_multiple_of(self.groups) {
            return Err(misfit());
        }
        if input.len() != kernel.len() {
            return Err(misfit());
        }
        let out_channels = group_channels.checked_mul(self.groups).ok_or_else(misfit)?;
        let mut window = self.window.unpadded(input, Some(kernel))?;
        let output = self.output(input, &mut window)?;
        let shape = ConvTransposeShape {
            batch: *batch,
            in_channels: *in_channels,
            out_channels,
            groups: self.groups,
            input: input.to_vec(),
            output,
            kernel: window.kernel.clone(),
            strides: window.strides.clone(),
            dilations: window.dilations.clone(),
            pads_begin: window.pads_begin.clone(),
        };
        Ok((shape, window))
    }

    /// The spatial sizes of the output; also sets the pads.
    fn output(&self, input: &[usize], window: &mut Window) -> Result<Vec<usize>> {
        check_sizes("output_padding", self.output_padding.as_deref())?;
        check_sizes("output_shape", self.output_shape.as_deref())?;
        let rank = input.len();
        let padding = self.output_padding.clone().unwrap_or_else(|| vec![0; rank]);
        let stated = match &self.output_shape {
            // Old models include batch and channels.
            Some(shape) if shape.len() == rank + 2 => Some(&shape[2..]),
            shape => shape.as_deref(),
        };
        if padding.len() != rank || stated.is_some_and(|stated| stated.len() != rank) {
            let message = format!("output_padding or output_shape does not match {rank} dimensions");
            return Err(Error::invalid_model(message));
        }
        let full = |axis: usize| {
            let steps = input[axis].checked_mul(window.strides[axis])?;
            steps.checked_add(padding[axis] + window.dilated_size(axis))?.checked_sub(window.strides[axis])
        };
        let full: Option<Vec<usize>> = (0..rank).map(full).collect();
        let full = full.ok_or_else(|| Error::invalid_data(format!("the output of {input:?} is empty")))?;
        let by_stride = || (0..rank).map(|axis| input[axis].saturating_mul(window.strides[axis])).collect();
        let (wanted, odd_at_end): (Vec<usize>, bool) = match (stated, &self.window.padding) {
            (Some(stated), padding) => {
                (stated.to_vec(), matches!(padding, Padding::Same { odd_at_end: true }))
            }
            (None, Padding::Same { odd_at_end }) => (by_stride(), *odd_at_end),
            (None, Padding::Valid) => return Ok(full),
            (None, Padding::Explicit(pads)) => {
                (window.pads_begin, window.pads_end) = explicit_pads(pads.as_deref(), rank)?;
                let left =
                    |axis: usize| full[axis].checked_sub(window.pads_begin[axis] + window.pads_end[axis]);
                let output: Option<Vec<usize>> = (0..rank).map(left).collect();
                return output.ok_or_else(|| Error::invalid_data(format!("the pads exceed {full:?}")));
            }
        };
        let pads = full
            .iter()
            .zip(&wanted)
            .map(|(full, wanted)| split_padding(full.saturating_sub(*wanted), odd_at_end));
        (window.pads_begin, window.pads_end) = pads.unzip();
        Ok(wanted)
    }

    fn prepared(&self, weight: &Tensor) -> Result<PreparedConvTranspose> {
        let [in_channels, group_channels, kernel @ ..] = weight.shape() else {
            return Err(misfit(&[], weight.shape(), self.groups));
        };
        let out_channels = group_channels.checked_mul(self.groups);
        let shape = ConvTransposeShape {
            batch: 1,
            in_channels: *in_channels,
            out_channels: out_channels.ok_or_else(|| misfit(&[], weight.shape(), self.groups))?,
            groups: self.groups,
            input: vec![1; kernel.len()],
            output: kernel.to_vec(),
            kernel: kernel.to_vec(),
            strides: vec![1; kernel.len()],
            dilations: vec![1; kernel.len()],
            pads_begin: vec![0; kernel.len()],
        };
        prepare(&shape, &numbers::<f32>(weight, weight.dtype())?).map_err(invalid)
    }
}

/// The transposed convolution without a fast kernel: the input of the forward convolution is this output, and
/// its output is this input.
fn scatter<R: Real>(
    call: &Call<'_, '_>,
    shape: &ConvTransposeShape,
    window: &Window,
    out_shape: &[usize],
) -> Result<Outputs> {
    let (x, weight) = (call.tensor(0)?, call.tensor(1)?);
    let dtype = x.dtype();
    let mut out = call.zeros::<R>(out_shape)?;
    let [in_len, out_len] = [&shape.input, &shape.output].map(|sizes| sizes.iter().product::<usize>());
    if let Some(bias) = call.optional(2)? {
        fill_channels(&numbers::<R>(bias, dtype)?, shape.out_channels, &mut out, out_len)?;
    }
    if !out.is_empty() && !x.is_empty() {
        let (x, weight) = (numbers::<R>(x, dtype)?, numbers::<R>(weight, dtype)?);
        let taps = Taps::new(window, &shape.output, &shape.input);
        let (group_inputs, group_outputs) =
            (shape.in_channels / shape.groups, shape.out_channels / shape.groups);
        let n_taps = weight.len() / (shape.in_channels * group_outputs);
        for (idx, x) in x.chunks_exact(in_len).enumerate() {
            let (image, channel) = (idx / shape.in_channels, idx % shape.in_channels);
            let first = image * shape.out_channels + channel / group_inputs * group_outputs;
            let planes = out[first * out_len..].chunks_exact_mut(out_len).take(group_outputs);
            let weights = weight[channel * group_outputs * n_taps..].chunks_exact(n_taps);
            for (plane, weights) in planes.zip(weights) {
                taps.for_each_run(|run| {
                    let (to, weight) = (plane[run.source..].iter_mut().step_by(run.step), weights[run.tap]);
                    let from = &x[run.target..run.target + run.len];
                    to.zip(from).for_each(|(y, &x)| *y = Number::add(*y, x * weight));
                });
            }
        }
    }
    one(rounded(dtype, out_shape, out)?)
}
