//! DeformConv: a convolution with an offset and a mask factor for each tap.

use super::sampler::{Method, Padding, Sampler, Taps};
use crate::call::Call;
use crate::op::{CompileContext, Kernel, Outputs, one};
use crate::product::{Factor, Product};
use crate::real::{Real, numbers, rounded, with_real};
use intact8_ir::{Error, Result, Window, WindowAttributes};
use intact8_kernels::matrix::{Matrix, MatrixMut};

/// The values of the taps form a matrix, which is multiplied by the weights.
pub(super) fn deform_conv(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let attrs = WindowAttributes::of(ctx.op)?;
    let positive = |name: &str| {
        let size = usize::try_from(ctx.int(name, 1)?).ok().filter(|&size| size > 0);
        size.ok_or_else(|| Error::invalid_model(format!("{name} must be positive")))
    };
    let (groups, offset_groups) = (positive("group")?, positive("offset_group")?);
    Ok(Box::new(move |call| {
        let (x, weight, offset) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
        let misfit = || {
            let shapes = [x.shape(), weight.shape(), offset.shape()];
            Error::invalid_data(format!("shapes {shapes:?} do not match {groups} and {offset_groups} groups"))
        };
        let (Some((&[batch, channels], input)), Some((&[out_channels, group_channels], kernel))) =
            (x.shape().split_first_chunk::<2>(), weight.shape().split_first_chunk::<2>())
        else {
            return Err(misfit());
        };
        let are_groups = group_channels.checked_mul(groups) == Some(channels)
            && out_channels.is_multiple_of(groups)
            && channels.is_multiple_of(offset_groups);
        if !are_groups || kernel.len() != input.len() || input.contains(&0) {
            return Err(misfit());
        }
        let window = attrs.over(input, Some(kernel))?;
        let output = window.output(input, false)?;
        let n_taps = kernel.iter().product::<usize>();
        let with_output = |n: usize| [&[batch, n * n_taps], output.as_slice()].concat();
        let mask_fits = match call.optional(4)? {
            Some(mask) => mask.shape() == with_output(offset_groups),
            None => true,
        };
        if offset.shape() != with_output(offset_groups * input.len()) || !mask_fits {
            return Err(misfit());
        }
        let layer =
            Layer { batch, channels, out_channels, groups, offset_groups, input, output, n_taps, window };
        with_real!(x.dtype(), R => layer.run::<R>(call))
    }))
}

struct Layer<'a> {
    batch: usize,
    channels: usize,
    out_channels: usize,
    groups: usize,
    offset_groups: usize,
    input: &'a [usize],
    output: Vec<usize>,
    n_taps: usize,
    window: Window,
}

impl Layer<'_> {
    fn run<R: Real + Factor>(&self, call: &Call<'_, '_>) -> Result<Outputs> {
        let dtype = call.tensor(0)?.dtype();
        let Layer { batch, channels, out_channels, groups, n_taps, .. } = *self;
        let shape = [&[batch, out_channels], self.output.as_slice()].concat();
        let mut out = call.zeros::<R>(&shape)?;
        let n_positions = self.output.iter().product::<usize>();
        let mut columns = call.zeros::<R>(&[channels, n_taps, n_positions])?;
        let operand =
            |slot: usize| call.optional(slot)?.map(|tensor| numbers::<R>(tensor, dtype)).transpose();
        let (x, weight, offset) = (
            numbers::<R>(call.tensor(0)?, dtype)?,
            numbers::<R>(call.tensor(1)?, dtype)?,
            numbers::<R>(call.tensor(2)?, dtype)?,
        );
        let (bias, mask) = (operand(3)?, operand(4)?);
        if bias.as_ref().is_some_and(|bias| bias.len() != out_channels) {
            return Err(Error::invalid_data(format!("the bias does not match {out_channels} channels")));
        }
        let image_len = self.input.iter().product::<usize>() * channels;
        let (depth, rows) = (channels / groups * n_taps, out_channels / groups);
        let (n_offsets, n_masks) =
            (self.offset_groups * n_taps * self.input.len(), self.offset_groups * n_taps);
        let starts = self.window_starts();
        for image in (0..batch).filter(|_| n_positions * out_channels > 0) {
            let offset = &offset[image * n_offsets * n_positions..][..n_offsets * n_positions];
            let mask =
                mask.as_ref().map(|mask| &mask[image * n_masks * n_positions..][..n_masks * n_positions]);
            self.sample(&x[image * image_len..][..image_len], &starts, offset, mask, &mut columns);
            let out = &mut out[image * out_channels * n_positions..][..out_channels * n_positions];
            if let Some(bias) = &bias {
                out.chunks_exact_mut(n_positions).zip(&**bias).for_each(|(out, &bias)| out.fill(bias));
            }
            let products = out.chunks_exact_mut(rows * n_positions).enumerate().map(|(group, out)| Product {
                a: Matrix::row_major(&weight[group * rows * depth..], rows, depth),
                b: Matrix::row_major(&columns[group * depth * n_positions..], depth, n_positions),
                c: MatrixMut::row_major(out, rows, n_positions),
            });
            R::multiply_all(products.collect(), true);
        }
        one(rounded(dtype, &shape, out)?)
    }

    /// The start of the window for each output, outermost axis first.
    fn window_starts(&self) -> Vec<Vec<f64>> {
        let mut starts = vec![vec![]];
        for (axis, &n) in self.output.iter().enumerate() {
            let along =
                |i: usize| (i * self.window.strides[axis]) as f64 - self.window.pads_begin[axis] as f64;
            let longer = |start: &Vec<f64>| {
                (0..n).map(|i| [start.as_slice(), &[along(i)]].concat()).collect::<Vec<_>>()
            };
            starts = starts.iter().flat_map(longer).collect();
        }
        starts
    }

    /// The value of every tap, `[channels, taps, positions]`.
    fn sample<R: Real>(
        &self,
        image: &[R],
        starts: &[Vec<f64>],
        offsets: &[R],
        mask: Option<&[R]>,
        columns: &mut [R],
    ) {
        let sampler = Sampler { sizes: self.input, method: Method::Linear, padding: Padding::Zeros };
        let (n_axes, n_positions) = (self.input.len(), starts.len());
        let plane_len = self.input.iter().product::<usize>();
        let group_channels = self.channels / self.offset_groups;
        let mut taps = Taps::default();
        let mut position = vec![0.0; n_axes];
        for (number, tap) in
            (0..self.offset_groups * self.n_taps).map(|number| (number, number % self.n_taps))
        {
            let shift = self.shift(tap);
            taps.clear();
            for (idx, begin) in starts.iter().enumerate() {
                for axis in 0..n_axes {
                    let offset = offsets[(number * n_axes + axis) * n_positions + idx].to_f64();
                    position[axis] = begin[axis] + shift[axis] + offset;
                }
                taps.push(&sampler, &position, mask.map_or(R::ONE, |mask| mask[number * n_positions + idx]));
            }
            let group = number / self.n_taps;
            for channel in group * group_channels..(group + 1) * group_channels {
                let out = &mut columns[(channel * self.n_taps + tap) * n_positions..][..n_positions];
                taps.sum(&image[channel * plane_len..][..plane_len], out);
            }
        }
    }

    /// The distance of a tap from the start of the window.
    fn shift(&self, mut tap: usize) -> Vec<f64> {
        let mut shift = vec![0.0; self.input.len()];
        for (axis, shift) in shift.iter_mut().enumerate().rev() {
            *shift = (tap % self.window.kernel[axis] * self.window.dilations[axis]) as f64;
            tap /= self.window.kernel[axis];
        }
        shift
    }
}
