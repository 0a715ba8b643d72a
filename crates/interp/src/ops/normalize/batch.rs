//! Batch normalization.

use super::moments::moments;
use crate::call::Call;
use crate::op::{CompileContext, Kernel, Outputs, one};
use crate::real::{Real, into_numbers, numbers, rounded, with_real};
use intact8_ir::{Error, Result};

/// `scale · (x - mean) / √(variance + ε) + bias` for each channel; channels are the second dimension.
pub(super) fn batch(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let has_statistics = (1..ctx.outputs.len()).any(|slot| ctx.has_output(slot));
    // Before opset 14 the number of outputs determines the mode.
    let is_training = if ctx.opset < 14 { has_statistics } else { ctx.flag("training_mode", false)? };
    if has_statistics && !is_training {
        return Err(Error::invalid_model("statistics are outputs only in training mode"));
    }
    let batch = Batch {
        epsilon: ctx.float("epsilon", 1e-5)?.into(),
        momentum: ctx.float("momentum", 0.9)?.into(),
        is_spatial: ctx.opset >= 9 || ctx.flag("spatial", true)?,
        is_training,
        n_outputs: if ctx.opset < 14 { 5 } else { 3 },
    };
    Ok(Box::new(move |call| with_real!(call.tensor(0)?.dtype(), R => batch.run::<R>(call))))
}

struct Batch {
    epsilon: f64,
    momentum: f64,
    /// Whether all positions of a channel share statistics; if not, each position is a channel.
    is_spatial: bool,
    /// Whether the statistics are those of the input.
    is_training: bool,
    n_outputs: usize,
}

impl Batch {
    fn run<R: Real>(&self, call: &mut Call<'_, '_>) -> Result<Outputs> {
        let x = call.take(0)?;
        let (dtype, shape) = (x.dtype(), x.shape().to_vec());
        let (n_channels, inner) = match shape.as_slice() {
            [] => return Err(Error::invalid_data("a scalar has no channels")),
            [_] => (1, 1),
            [_, n_channels, inner @ ..] if self.is_spatial => (*n_channels, inner.iter().product()),
            [_, features @ ..] => (features.iter().product(), 1),
        };
        let parameters = [1, 2, 3, 4].map(|slot| {
            let tensor = call.tensor(slot)?;
            let values = numbers::<R>(tensor, tensor.dtype())?;
            match values.len() == n_channels {
                true => Ok(values),
                false => Err(Error::invalid_data(format!(
                    "{} parameters do not match {n_channels} channels",
                    values.len()
                ))),
            }
        });
        let [scale, bias, mean, variance] = parameters;
        let (scale, bias, mean, variance) = (scale?, bias?, mean?, variance?);
        call.reserve::<R>(&shape)?;
        let mut x = into_numbers::<R>(x)?;
        let statistics = self.is_training.then(|| {
            let of_channel = |channel: usize| {
                let planes = x.chunks_exact(inner.max(1)).skip(channel).step_by(n_channels);
                moments(planes)
            };
            (0..n_channels).map(of_channel).collect::<Vec<(f64, f64)>>()
        });
        let channel = |channel: usize| {
            let (mean, variance) = match &statistics {
                Some(found) => (R::from_f64(found[channel].0), R::from_f64(found[channel].1)),
                None => (mean[channel], variance[channel]),
            };
            let factor = scale[channel] / (variance + R::from_f64(self.epsilon)).sqrt();
            (mean, factor, bias[channel])
        };
        let channels: Vec<(R, R, R)> = (0..n_channels).map(channel).collect();
        for (plane, &(mean, factor, bias)) in x.chunks_exact_mut(inner.max(1)).zip(channels.iter().cycle()) {
            plane.iter_mut().for_each(|x| *x = (*x - mean) * factor + bias);
        }
        let mut outputs = one(rounded(dtype, &shape, x)?)?;
        if let Some(found) = statistics {
            let (means, variances): (Vec<f64>, Vec<f64>) = found.into_iter().unzip();
            let running = |old: &[R], new: &[f64]| {
                let mixed =
                    |(old, new): (&R, &f64)| old.to_f64() * self.momentum + new * (1.0 - self.momentum);
                old.iter().zip(new).map(mixed).collect::<Vec<f64>>()
            };
            let mixed = [running(&mean, &means), running(&variance, &variances)];
            for (values, slot) in mixed.into_iter().chain([means, variances]).zip([3, 4, 3, 4]) {
                let like = call.tensor(slot)?;
                outputs.push(rounded(like.dtype(), like.shape(), values)?.into());
            }
            outputs.truncate(self.n_outputs);
        }
        Ok(outputs)
    }
}
