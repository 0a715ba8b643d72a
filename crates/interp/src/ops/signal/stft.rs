//! The short-time Fourier transform.

use super::fourier::{Plans, components};
use crate::call::Call;
use crate::indices::integer;
use crate::op::{CompileContext, Kernel, Outputs, one};
use crate::real::{numbers, rounded};
use intact8_ir::{Complex, Error, Result, Tensor};

pub(super) fn stft(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let is_onesided = ctx.flag("onesided", true)?;
    let plans = Plans::default();
    Ok(Box::new(move |call| run(call, is_onesided, &plans)))
}

fn run(call: &Call<'_, '_>, is_onesided: bool, plans: &Plans) -> Result<Outputs> {
    let signal = call.tensor(0)?;
    let (&[batch, signal_len], n_parts) = components(signal.shape())? else {
        let found = signal.shape();
        return Err(Error::invalid_data(format!("a signal has three dimensions, found the shape {found:?}")));
    };
    let step = positive("frame_step", integer(call.tensor(1)?)?)?;
    let window = call.optional(2)?;
    let len = frame_len(call, signal_len)?;
    if len > signal_len {
        return Err(Error::invalid_data(format!("frames of {len} exceed a signal of {signal_len}")));
    }
    let n_frames = (signal_len - len) / step + 1;
    let n_bins = if is_onesided { len / 2 + 1 } else { len };
    let shape = [batch, n_frames, n_bins, 2];
    let mut out = call.zeros::<f64>(&shape)?;
    let plan = plans.plan::<f64>(len, false, 1, call)?;
    let mut frame = vec![Complex::default(); len];
    let mut scratch = vec![Complex::default(); plan.get_inplace_scratch_len()];
    let window = match window {
        Some(window) => numbers::<f64>(window, signal.dtype())?.into_owned(),
        None => vec![1.0; len],
    };
    let values = numbers::<f64>(signal, signal.dtype())?;
    for (idx, out) in out.chunks_exact_mut(n_bins * 2).enumerate() {
        call.context.step()?;
        let first = idx / n_frames * signal_len + idx % n_frames * step;
        let values = values[first * n_parts..][..len * n_parts].chunks_exact(n_parts);
        for ((to, from), &factor) in frame.iter_mut().zip(values).zip(&window) {
            let im = from.get(1).map_or(0.0, |&im| im * factor);
            *to = Complex { re: from[0] * factor, im };
        }
        plan.process_with_scratch(&mut frame, &mut scratch);
        for (out, value) in out.as_chunks_mut::<2>().0.iter_mut().zip(&frame) {
            *out = [value.re, value.im];
        }
    }
    one(rounded(signal.dtype(), &shape, out)?)
}

/// The frame length: the operand, or the length of the window, or that of the signal.
fn frame_len(call: &Call<'_, '_>, signal_len: usize) -> Result<usize> {
    let window = call.optional(2)?.map(Tensor::shape);
    let frame_length = call.optional(3)?.map(integer).transpose()?;
    match (window, frame_length) {
        (None, None) => positive("the length of the signal", signal_len as i64),
        (None, Some(len)) => positive("frame_length", len),
        (Some(&[len]), None) => positive("the length of the window", len as i64),
        (Some(&[len]), Some(length)) if usize::try_from(length) == Ok(len) => {
            positive("frame_length", length)
        }
        (Some(window), frame_length) => Err(Error::invalid_data(format!(
            "a window of shape {window:?} does not match the frame_length {frame_length:?}"
        ))),
    }
}

fn positive(what: &str, value: i64) -> Result<usize> {
    let found = usize::try_from(value).ok().filter(|&value| value > 0);
    found.ok_or_else(|| Error::invalid_data(format!("{what} must be positive, found {value}")))
}
