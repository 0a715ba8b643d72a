//! Normalization of each image over its channels, individually or in groups.

use super::moments::moments;
use crate::call::Call;
use crate::op::{CompileContext, Kernel, Outputs, one};
use crate::real::{Real, into_numbers, numbers, round_in_place, rounded, with_real};
use intact8_ir::{DType, Error, Result};

/// Every channel with its own mean and variance.
pub(super) fn instance(ctx: &CompileContext<'_>) -> Result<Kernel> {
    kernel(Groups { n_groups: None, is_scaled_by_group: false, rounds_twice: false, epsilon: epsilon(ctx)? })
}

/// Groups of channels; scale and bias are per-group, and from opset 21 on per-channel and applied to rounded numbers.
pub(super) fn group(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let missing = || Error::invalid_model("num_groups is missing or not positive");
    let n_groups = ctx.op.int("num_groups")?.and_then(|n| usize::try_from(n).ok());
    let is_old = ctx.opset < 21;
    kernel(Groups {
        n_groups: Some(n_groups.filter(|&n| n > 0).ok_or_else(missing)?),
        is_scaled_by_group: is_old,
        rounds_twice: !is_old,
        epsilon: epsilon(ctx)?,
    })
}

fn epsilon(ctx: &CompileContext<'_>) -> Result<f64> {
    Ok(ctx.float("epsilon", 1e-5)?.into())
}

fn kernel(groups: Groups) -> Result<Kernel> {
    Ok(Box::new(move |call| with_real!(call.tensor(0)?.dtype(), R => groups.run::<R>(call))))
}

struct Groups {
    /// `None` if each channel is a group.
    n_groups: Option<usize>,
    is_scaled_by_group: bool,
    /// Whether 16-bit floats are rounded after each step.
    rounds_twice: bool,
    epsilon: f64,
}

impl Groups {
    fn run<R: Real>(&self, call: &mut Call<'_, '_>) -> Result<Outputs> {
        let x = call.take(0)?;
        let (dtype, shape) = (x.dtype(), x.shape().to_vec());
        let [_, n_channels, inner @ ..] = shape.as_slice() else {
            return Err(Error::invalid_data(format!("the input must not have the shape {shape:?}")));
        };
        let (n_channels, plane_len) = (*n_channels, inner.iter().product::<usize>());
        let n_groups = self.n_groups.unwrap_or(n_channels).max(1);
        if !n_channels.is_multiple_of(n_groups) {
            return Err(Error::invalid_data(format!(
                "{n_channels} channels are not divisible by {n_groups} groups"
            )));
        }
        let n_scales = if self.is_scaled_by_group { n_groups } else { n_channels };
        let [scale, bias] = [1, 2].map(|slot| numbers::<R>(call.tensor(slot)?, dtype));
        let (scale, bias) = (scale?, bias?);
        if [scale.len(), bias.len()] != [n_scales; 2] {
            return Err(Error::invalid_data(format!(
                "there must be a scale and a bias for each of {n_scales}"
            )));
        }
        call.reserve::<R>(&shape)?;
        let mut x = into_numbers::<R>(x)?;
        let group_channels = n_channels / n_groups;
        let group_len = (group_channels * plane_len).max(1);
        let step = if self.rounds_twice { dtype } else { R::DTYPE };
        for (idx, group) in x.chunks_exact_mut(group_len).enumerate() {
            let (mean, variance) = moments(std::iter::once(&*group));
            let (mean, factor) = (R::from_f64(mean), R::from_f64(1.0 / (variance + self.epsilon).sqrt()));
            for (channel, plane) in group.chunks_exact_mut(plane_len).enumerate() {
                let at = if self.is_scaled_by_group {
                    idx % n_groups
                } else {
                    idx % n_groups * group_channels + channel
                };
                scale_plane(step, plane, mean, factor, (scale[at], bias[at]))?;
            }
        }
        one(rounded(dtype, &shape, x)?)
    }
}

/// `(x - mean) · factor · scale + bias`, rounded to `step` after each stage.
fn scale_plane<R: Real>(
    step: DType,
    plane: &mut [R],
    mean: R,
    factor: R,
    (scale, bias): (R, R),
) -> Result<()> {
    if step == R::DTYPE {
        plane.iter_mut().for_each(|x| *x = (*x - mean) * factor * scale + bias);
        return Ok(());
    }
    plane.iter_mut().for_each(|x| *x = (*x - mean) * factor);
    round_in_place(step, plane)?;
    plane.iter_mut().for_each(|x| *x = *x * scale);
    round_in_place(step, plane)?;
    plane.iter_mut().for_each(|x| *x += bias);
    Ok(())
}
