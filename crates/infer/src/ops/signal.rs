//! Fourier transforms.

use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, Stop, axis};
use crate::row::ElementType::Like;
use crate::row::{OpRow, one};

pub(super) static ROWS: &[OpRow] =
    &[OpRow::tensors("DFT", &[Like(0)], transform), OpRow::tensors("STFT", &[Like(0)], short_time)];

/// The number of frequencies in the one-sided spectrum of a real signal.
fn half(length: &DimExpr) -> DimExpr {
    &length.floor_div(2) + &DimExpr::known(1)
}

/// The axis has the length of the transform, or that of the one-sided spectrum; the last dimension holds real and
/// imaginary part.
fn transform(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let mut shape = ctx.shape(0)?.to_vec();
    let (is_half, is_inverse) = (ctx.flag("onesided")?, ctx.flag("inverse")?);
    let parts = DimExpr::known(if is_half && is_inverse { 1 } else { 2 });
    let at = match (ctx.opset < 20, ctx.fact(2)) {
        (true, _) => Some(ctx.int("axis", 1)?),
        (false, None) => Some(-2),
        (false, Some(fact)) => fact.as_scalar().and_then(|number| number.as_dim().as_known()),
    };
    let Some(at) = at else {
        // If the axis is unknown, the dimensions are known only if none changes.
        if is_half || ctx.fact(1).is_some() {
            shape.fill(ctx.unknown("the axis is computed while the model runs"));
        }
        shape.last_mut().into_iter().for_each(|last| *last = parts.clone());
        return one(shape);
    };
    let axis = axis(at, shape.len())?;
    let length = match ctx.fact(1) {
        Some(_) => ctx.dim(1, "the transform's length")?,
        // A one-sided spectrum is assumed to belong to a signal of even length.
        None if is_half && is_inverse => &(&shape[axis] - &DimExpr::known(1)) * &DimExpr::known(2),
        None => shape[axis].clone(),
    };
    let Some(last) = shape.len().checked_sub(1).filter(|&last| last != axis) else {
        return Err(Stop::wrong("the last dimension holds the complex parts and can't be transformed"));
    };
    shape[last] = parts;
    shape[axis] = if is_half && !is_inverse { half(&length) } else { length };
    one(shape)
}

/// `[batch, frames, spectrum, 2]`.
fn short_time(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (batch, signal) = match ctx.shape_if_known(0)? {
        None => (DimExpr::UNKNOWN, DimExpr::UNKNOWN),
        Some([batch, signal, ..]) => (batch.clone(), signal.clone()),
        Some(shape) => return Err(Stop::wrong(format!("a signal must have rank 3, found {}", shape.len()))),
    };
    let frame = match (ctx.fact(3), ctx.fact(2)) {
        (Some(_), _) => ctx.dim(3, "the length of a frame")?,
        (None, Some(_)) => ctx.shape_of_rank(2, 1)?[0].clone(),
        (None, None) => signal.clone(),
    };
    let step = ctx.dim(1, "the frame step")?;
    let n_frames = match step.as_known() {
        Some(step) if step > 0 => &(&signal - &frame).floor_div(step) + &DimExpr::known(1),
        Some(step) => return Err(Stop::wrong(format!("the frame step must be positive, found {step}"))),
        None => DimExpr::UNKNOWN,
    };
    let spectrum = if ctx.int("onesided", 1)? != 0 { half(&frame) } else { frame };
    one(vec![batch, n_frames, spectrum, DimExpr::known(2)])
}
