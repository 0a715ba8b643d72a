//! Normalization of vectors to length 1, of channels by their neighbours (LRN), and by mean and variance over any axes.

use super::moments::sum;
use crate::axes::{Along, axes, axis};
use crate::broadcast::for_each_row;
use crate::call::Call;
use crate::number::Number;
use crate::op::{CompileContext, Kernel, Outputs, one};
use crate::real::{Real, into_numbers, numbers, rounded, with_real};
use intact8_ir::{Error, Result};

/// Vectors along an axis, divided by their length; those of length 0 are 0.
pub(super) fn lp(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let at = ctx.int("axis", -1)?;
    let is_absolute = match ctx.int("p", 2)? {
        1 => true,
        2 => false,
        other => return Err(Error::invalid_model(format!("p must be 1 or 2, found {other}"))),
    };
    Ok(Box::new(move |call| {
        let x = call.take(0)?;
        let (dtype, shape) = (x.dtype(), x.shape().to_vec());
        let Along { len, inner, .. } = Along::of(&shape, axis(at, shape.len())?);
        with_real!(dtype, R => {
            call.reserve::<R>(&shape)?;
            let mut x = into_numbers::<R>(x)?;
            if inner == 1 {
                for row in x.chunks_exact_mut(len.max(1)) {
                    let length = if is_absolute { sum(row, f64::abs) } else { sum(row, |x| x * x).sqrt() };
                    row.iter_mut().for_each(|x| *x = shortened(*x, length));
                }
                return one(rounded(dtype, &shape, x)?);
            }
            let mut lengths = vec![0.0; inner];
            for block in x.chunks_exact_mut((len * inner).max(1)) {
                lengths.fill(0.0);
                for row in block.chunks_exact(inner) {
                    let terms = row.iter().map(|x| x.magnitude().to_f64());
                    let terms = terms.map(|x| if is_absolute { x } else { x * x });
                    lengths.iter_mut().zip(terms).for_each(|(length, term)| *length += term);
                }
                if !is_absolute {
                    lengths.iter_mut().for_each(|length| *length = length.sqrt());
                }
                for row in block.chunks_exact_mut(inner) {
                    row.iter_mut().zip(&lengths).for_each(|(x, &length)| *x = shortened(*x, length));
                }
            }
            one(rounded(dtype, &shape, x)?)
        })
    }))
}

/// An element divided by the length of its vector.
fn shortened<R: Real>(x: R, length: f64) -> R {
    if length == 0.0 { R::ZERO } else { R::from_f64(x.to_f64() / length) }
}

/// `x / (bias + alpha / size · Σ y²)^beta`, where `y` are the elements of `size` neighbouring channels.
pub(super) fn local_response(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let size = ctx.op.int("size")?.and_then(|size| usize::try_from(size).ok()).filter(|&size| size > 0);
    let attrs = LocalResponse {
        alpha: ctx.float("alpha", 1e-4)?,
        beta: ctx.float("beta", 0.75)?,
        bias: ctx.float("bias", 1.0)?,
        size: size.ok_or_else(|| Error::invalid_model("size is missing or not positive"))?,
    };
    Ok(Box::new(move |call| with_real!(call.tensor(0)?.dtype(), R => attrs.run::<R>(call))))
}

struct LocalResponse {
    alpha: f32,
    beta: f32,
    bias: f32,
    size: usize,
}

impl LocalResponse {
    fn run<R: Real>(&self, call: &Call<'_, '_>) -> Result<Outputs> {
        let x = call.tensor(0)?;
        let (dtype, shape) = (x.dtype(), x.shape());
        let [_, n_channels, inner @ ..] = shape else {
            return Err(Error::invalid_data(format!("the input must not have the shape {shape:?}")));
        };
        let plane_len = inner.iter().product::<usize>();
        let mut out = call.zeros::<R>(shape)?;
        let [alpha, beta, bias] = [self.alpha, self.beta, self.bias].map(R::from_f32);
        let (factor, before, after) =
            (alpha / R::from_f64(self.size as f64), (self.size - 1) / 2, self.size / 2);
        let x = numbers::<R>(x, dtype)?;
        let image_len = (n_channels * plane_len).max(1);
        for (x, out) in x.chunks_exact(image_len).zip(out.chunks_exact_mut(image_len)) {
            for (channel, out) in out.chunks_exact_mut(plane_len).enumerate() {
                let neighbours =
                    channel.saturating_sub(before)..channel.saturating_add(after + 1).min(*n_channels);
                for plane in
                    x[neighbours.start * plane_len..neighbours.end * plane_len].chunks_exact(plane_len)
                {
                    out.iter_mut().zip(plane).for_each(|(sum, &x)| *sum += x * x);
                }
                let plane = &x[channel * plane_len..][..plane_len];
                if self.beta == 0.75 {
                    let power = |y: R| y.sqrt() * y.sqrt().sqrt();
                    out.iter_mut().zip(plane).for_each(|(y, &x)| *y = x / power(bias + factor * *y));
                } else {
                    out.iter_mut().zip(plane).for_each(|(y, &x)| *y = x / (bias + factor * *y).powf(beta));
                }
            }
        }
        one(rounded(dtype, shape, out)?)
    }
}

/// `(x - mean) / (√variance + 1e-9)`, over some axes.
pub(super) fn mean_variance(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let listed = ctx.ints("axes")?.unwrap_or_else(|| vec![0, 2, 3]);
    Ok(Box::new(move |call| {
        let x = call.take(0)?;
        let (dtype, shape) = (x.dtype(), x.shape().to_vec());
        let mut kept = shape.clone();
        axes(&listed, shape.len())?.into_iter().for_each(|axis| kept[axis] = 1);
        with_real!(dtype, R => {
            call.reserve::<R>(&shape)?;
            call.reserve::<f64>(&kept)?;
            let mut x = into_numbers::<R>(x)?;
            standardize(&mut x, &shape, &kept);
            one(rounded(dtype, &shape, x)?)
        })
    }))
}

fn standardize<R: Real>(x: &mut [R], shape: &[usize], kept: &[usize]) {
    let means = averages(x, shape, kept, |x, _| x);
    let variances = averages(x, shape, kept, |x, at| (x - means[at]) * (x - means[at]));
    let deviations: Vec<f64> = variances.into_iter().map(|variance| variance.sqrt() + 1e-9).collect();
    let standard = |x: R, at: usize| R::from_f64((x.to_f64() - means[at]) / deviations[at]);
    let mut rest = x;
    for_each_row([kept], shape, |[at], [step], len| {
        let row;
        (row, rest) = std::mem::take(&mut rest).split_at_mut(len);
        match step {
            0 => row.iter_mut().for_each(|x| *x = standard(*x, at)),
            _ => row.iter_mut().enumerate().for_each(|(idx, x)| *x = standard(*x, at + idx)),
        }
    });
}

/// The average of `f` over the elements that are reduced to the same index of `kept`; `f` also receives that index.
fn averages<R: Real>(x: &[R], shape: &[usize], kept: &[usize], f: impl Fn(f64, usize) -> f64) -> Vec<f64> {
    let n_kept: usize = kept.iter().product();
    let n = (x.len() / n_kept.max(1)) as f64;
    let (mut sums, mut rest) = (vec![0.0; n_kept], x);
    for_each_row([kept], shape, |[at], [step], len| {
        let (row, tail) = rest.split_at(len);
        rest = tail;
        match step {
            0 => sums[at] += sum(row, |x| f(x, at)),
            _ => {
                let sums = sums[at..at + len].iter_mut().zip(row).enumerate();
                sums.for_each(|(idx, (sum, x))| *sum += f(x.to_f64(), at + idx));
            }
        }
    });
    sums.iter_mut().for_each(|sum| *sum /= n);
    sums
}
