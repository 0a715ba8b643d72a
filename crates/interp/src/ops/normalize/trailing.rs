//! Normalization over the last dimensions; the result is rounded before it is scaled.

use super::moments::{moments, sum};
use crate::axes::axis;
use crate::broadcast::{broadcast_shape, zip};
use crate::call::Call;
use crate::op::{CompileContext, Kernel, Outputs, one};
use crate::real::{Real, numbers, round_in_place, rounded};
use intact8_ir::{DType, Error, Result, Tensor};
use intact8_kernels::layer_norm::{Normalization, layer_norm};

/// `(x - mean) / √(variance + ε)`, scaled and shifted. The second and third output are the means and the inverse
/// deviations.
pub(super) fn layer(ctx: &CompileContext<'_>) -> Result<Kernel> {
    Rows::read(ctx, true)?.kernel()
}

/// `x / √(mean of x² + ε)`, scaled.
pub(super) fn root_mean_square(ctx: &CompileContext<'_>) -> Result<Kernel> {
    Rows::read(ctx, false)?.kernel()
}

struct Rows {
    axis: i64,
    epsilon: f32,
    /// The type in which rows are normalized.
    stash: DType,
    is_centred: bool,
    has_statistics: bool,
}

impl Rows {
    fn read(ctx: &CompileContext<'_>, is_centred: bool) -> Result<Rows> {
        let stash = match ctx.int("stash_type", 1)? {
            1 => DType::F32,
            10 => DType::F16,
            11 => DType::F64,
            16 => DType::Bf16,
            other => return Err(Error::invalid_model(format!("stash_type {other} is not a float type"))),
        };
        let (axis, epsilon) = (ctx.int("axis", -1)?, ctx.float("epsilon", 1e-5)?);
        let has_statistics = ctx.has_output(1) || ctx.has_output(2);
        Ok(Rows { axis, epsilon, stash, is_centred, has_statistics })
    }

    fn kernel(self) -> Result<Kernel> {
        Ok(Box::new(move |call| {
            let x = call.tensor(0)?;
            let at = axis(self.axis, x.shape().len())?;
            if let Some(out) = self.fast(call, at)? {
                return one(out);
            }
            match x.dtype() == DType::F64 || self.stash == DType::F64 {
                true => self.run::<f64>(call, at),
                false => self.run::<f32>(call, at),
            }
        }))
    }

    /// The common case: f32, a scale and an optional bias for each element of a row, without statistics.
    fn fast(&self, call: &Call<'_, '_>, at: usize) -> Result<Option<Tensor>> {
        let (x, scale, bias) = (call.tensor(0)?, call.tensor(1)?, call.optional(2)?);
        let row = &x.shape()[at..];
        let is_plain = |tensor: &Tensor| tensor.dtype() == DType::F32 && tensor.shape() == row;
        let fits = x.dtype() == DType::F32 && is_plain(scale) && bias.is_none_or(is_plain);
        if !fits || !self.is_centred || self.has_statistics || self.stash != DType::F32 {
            return Ok(None);
        }
        let mut out = call.zeros::<f32>(x.shape())?;
        let bias = bias.map(Tensor::values::<f32>).transpose()?;
        layer_norm(
            Normalization { scale: scale.values()?, bias, epsilon: self.epsilon },
            x.values()?,
            &mut out,
        );
        Ok(Some(Tensor::new(x.shape(), out)))
    }

    fn run<R: Real>(&self, call: &Call<'_, '_>, at: usize) -> Result<Outputs> {
        let (x, scale) = (call.tensor(0)?, call.tensor(1)?);
        let (dtype, shape) = (x.dtype(), x.shape());
        let mut statistics_shape = shape.to_vec();
        statistics_shape[at..].fill(1);
        let n_rows = call.reserve::<R>(&statistics_shape)?;
        call.reserve::<R>(shape)?;
        let mut values = numbers::<R>(x, dtype)?.into_owned();
        let (mut means, mut factors) = (Vec::with_capacity(n_rows), Vec::with_capacity(n_rows));
        for row in values.chunks_exact_mut((x.len() / n_rows.max(1)).max(1)) {
            let (mean, spread) = match self.is_centred {
                true => moments(std::iter::once(&*row)),
                false => (0.0, sum(row, |x| x * x) / row.len() as f64),
            };
            let (mean, factor) =
                (R::from_f64(mean), R::from_f64(1.0 / (spread + f64::from(self.epsilon)).sqrt()));
            row.iter_mut().for_each(|x| *x = (*x - mean) * factor);
            means.push(mean);
            factors.push(factor);
        }
        round_in_place(dtype, &mut values)?;
        let values = broadcast::<R>(values, shape, scale, |x, scale| x * scale)?;
        let values = match call.optional(2)? {
            Some(bias) => broadcast::<R>(values, shape, bias, |x, bias| x + bias)?,
            None => values,
        };
        let mut outputs = one(rounded(scale.dtype(), shape, values)?)?;
        if self.is_centred {
            for statistics in [means, factors] {
                // Empty rows have no statistics.
                let statistics = if statistics.len() == n_rows { statistics } else { vec![R::ZERO; n_rows] };
                outputs.push(rounded(self.stash, &statistics_shape, statistics)?.into());
            }
        }
        Ok(outputs)
    }
}

/// Combines every element with the corresponding one of `other`, whose type is that of the result.
fn broadcast<R: Real>(
    values: Vec<R>,
    shape: &[usize],
    other: &Tensor,
    f: impl Fn(R, R) -> R,
) -> Result<Vec<R>> {
    if broadcast_shape(&[shape, other.shape()])? != shape {
        let found = other.shape();
        return Err(Error::invalid_data(format!(
            "scale or bias of shape {found:?} does not match {shape:?}"
        )));
    }
    let others = numbers::<R>(other, other.dtype())?;
    let mut out = zip((&values, shape), (&others, other.shape()), shape, |&a, &b| f(a, b));
    round_in_place(other.dtype(), &mut out)?;
    Ok(out)
}
