//! Fourier transforms.

use crate::fact::Shape;
use crate::length::Length;
use crate::row::ElementType::Like;
use crate::row::{OpRow, one};
use crate::site::{Inferred, Site, Stop, axis};

pub(super) static ROWS: &[OpRow] =
    &[OpRow::tensors("DFT", &[Like(0)], transform), OpRow::tensors("STFT", &[Like(0)], short_time)];

/// How many of a spectrum's numbers tell all of a real signal.
fn half(length: &Length) -> Length {
    &length.floor_div(2) + &Length::known(1)
}

/// The axis gets the transform's length, or about half of it; the last dimension holds real and imaginary part.
fn transform(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let mut shape = site.shape(0)?.to_vec();
    let (is_half, is_inverse) = (site.flag("onesided")?, site.flag("inverse")?);
    let parts = Length::known(if is_half && is_inverse { 1 } else { 2 });
    let at = match (site.opset < 20, site.fact(2)) {
        (true, _) => Some(site.int("axis", 1)?),
        (false, None) => Some(-2),
        (false, Some(fact)) => fact.as_scalar().and_then(|number| number.length().as_known()),
    };
    let Some(at) = at else {
        // Without the axis it is known which lengths there are only if none changes.
        if is_half || site.fact(1).is_some() {
            shape.fill(site.unknown("the axis is computed while the model runs"));
        }
        shape.last_mut().into_iter().for_each(|last| *last = parts.clone());
        return one(shape);
    };
    let axis = axis(at, shape.len())?;
    let length = match site.fact(1) {
        Some(_) => site.length(1, "the transform's length")?,
        // Half a spectrum is that of a signal of an even length.
        None if is_half && is_inverse => &(&shape[axis] - &Length::known(1)) * &Length::known(2),
        None => shape[axis].clone(),
    };
    let Some(last) = shape.len().checked_sub(1).filter(|&last| last != axis) else {
        return Err(Stop::wrong("the last dimension holds the parts of a number and can't be transformed"));
    };
    shape[last] = parts;
    shape[axis] = if is_half && !is_inverse { half(&length) } else { length };
    one(shape)
}

/// `[batch, frames, spectrum, 2]`.
fn short_time(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (batch, signal) = match site.shape_if_known(0)? {
        None => (Length::UNKNOWN, Length::UNKNOWN),
        Some([batch, signal, ..]) => (batch.clone(), signal.clone()),
        Some(shape) => return Err(Stop::wrong(format!("a signal has 3 dimensions, found {}", shape.len()))),
    };
    let frame = match (site.fact(3), site.fact(2)) {
        (Some(_), _) => site.length(3, "the length of a frame")?,
        (None, Some(_)) => site.shape_of_rank(2, 1)?[0].clone(),
        (None, None) => signal.clone(),
    };
    let step = site.length(1, "the step between frames")?;
    let n_frames = match step.as_known() {
        Some(step) if step > 0 => &(&signal - &frame).floor_div(step) + &Length::known(1),
        Some(step) => return Err(Stop::wrong(format!("a step of {step} leads nowhere"))),
        None => Length::UNKNOWN,
    };
    let spectrum = if site.int("onesided", 1)? != 0 { half(&frame) } else { frame };
    one(vec![batch, n_frames, spectrum, Length::known(2)])
}
