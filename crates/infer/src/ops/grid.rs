//! Operators that resize or sample images.

use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, Stop, axes};
use crate::number::Number;
use crate::row::ElementType::Like;
use crate::row::{OpRow, one};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("AffineGrid", &[Like(0)], affine),
    OpRow::tensors("GridSample", &[Like(0)], sample),
    OpRow::tensors("Resize", &[Like(0)], resize),
    OpRow::tensors("Upsample", &[Like(0)], resize),
];

/// Scales or sizes, for the axes in the attribute or for all.
fn resize(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = ctx.shape(0)?;
    let resized = match ctx.op.ints("axes")? {
        Some(list) => axes(list, shape.len())?,
        None => (0..shape.len()).collect(),
    };
    // Up to version 10 the scales are the second operand, or the attribute of an even older Upsample.
    let scales = if ctx.opset < 11 { 1 } else { 2 };
    let is_given = |slot: usize| {
        // An empty tensor is equivalent to an absent one.
        let is_empty =
            |fact: &crate::fact::TensorFact| fact.shape.as_deref().is_some_and(|s| s.iter().any(|n| n.is(0)));
        ctx.fact(slot).is_some_and(|fact| !fact.as_tensor().is_some_and(is_empty))
    };
    let targets: Shape = if let Some(scales) = ctx.op.floats("scales")? {
        let lengths =
            resized.iter().zip(scales).map(|(&axis, &scale)| scaled(&shape[axis], f64::from(scale)));
        lengths.collect()
    } else if is_given(scales) {
        match ctx.elements(scales) {
            Some(found) => {
                let scale = |number: &Number| number.as_float();
                let lengths = resized.iter().zip(found.iter());
                lengths
                    .map(|(&axis, n)| scale(n).map_or(DimExpr::UNKNOWN, |n| scaled(&shape[axis], n)))
                    .collect()
            }
            None => vec![ctx.unknown("scales are computed while the model runs"); resized.len()],
        }
    } else if ctx.opset >= 11 && is_given(3) {
        match ctx.dims(3, "sizes") {
            Err(Stop::Unknown(reason)) => vec![ctx.unknown(reason); resized.len()],
            sizes => fitted(ctx, shape, &resized, sizes?.unwrap_or_default())?,
        }
    } else {
        return Err(Stop::wrong("scales and sizes are missing"));
    };
    if targets.len() != resized.len() {
        return Err(Stop::wrong(format!("the number of scales or sizes must be {}", resized.len())));
    }
    let mut result = shape.to_vec();
    resized.into_iter().zip(targets).for_each(|(axis, length)| result[axis] = length);
    one(result)
}

/// `floor(length · scale)` in 32-bit floats, the type of the scales.
fn scaled(length: &DimExpr, scale: f64) -> DimExpr {
    match length.as_known() {
        Some(length) => {
            let scaled = (length as f32 * scale as f32).floor();
            if scaled.is_finite() { DimExpr::known(scaled as i64) } else { DimExpr::UNKNOWN }
        }
        None if scale.fract() == 0.0 && scale.abs() < 1e9 => length * &DimExpr::known(scale as i64),
        None => {
            // Downscaling by an integer: exact if it divides the dimension.
            let inverse = 1.0 / scale;
            let is_whole = inverse.fract() == 0.0 && (1.0..1e9).contains(&inverse);
            if is_whole { length.exact_div(&DimExpr::known(inverse as i64)) } else { DimExpr::UNKNOWN }
        }
    }
}

/// The sizes, or those that keep the aspect ratio: the scale of one axis then applies to all.
fn fitted(ctx: &InferenceContext<'_>, shape: &[DimExpr], resized: &[usize], sizes: Shape) -> Inferred<Shape> {
    let scale = match ctx.str("keep_aspect_ratio_policy", "stretch")? {
        "stretch" => return Ok(sizes),
        "not_larger" => f64::min,
        "not_smaller" => f64::max,
        other => {
            return Err(Stop::wrong(format!("keep_aspect_ratio_policy {other:?} is not defined by ONNX")));
        }
    };
    let known = |length: &DimExpr| length.as_known().map(|length| length as f64);
    let scales = resized.iter().zip(&sizes).map(|(&axis, size)| Some(known(size)? / known(&shape[axis])?));
    let Some(scales) = scales.collect::<Option<Vec<f64>>>() else {
        return Ok(vec![DimExpr::UNKNOWN; sizes.len()]);
    };
    let scale = scales.into_iter().reduce(scale).filter(|scale| scale.is_finite());
    let length = |&axis: &usize| {
        let rounded = (scale? * known(&shape[axis])? + 0.5).floor();
        Some(DimExpr::known(rounded as i64))
    };
    Ok(resized.iter().map(|axis| length(axis).unwrap_or(DimExpr::UNKNOWN)).collect())
}

/// An image `[N,C,…]`, sampled at the points of a grid `[N,…,r]`.
fn sample(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (image, grid) = (ctx.shape(0)?, ctx.shape(1)?);
    if image.len() < 3 || grid.len() != image.len() {
        let (a, b) = (image.len(), grid.len());
        return Err(Stop::wrong(format!("the image has rank {a}, but the grid has rank {b}")));
    }
    one([&image[..2], &grid[1..grid.len() - 1]].concat())
}

/// The grid points `[N,…,r]` for an image of the given size `[N,C,…]`.
fn affine(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let batch = ctx.shape_of_rank(0, 3)?[0].clone();
    let size = ctx.required_dims(1, "the size")?;
    let spatial = size.get(2..).filter(|spatial| matches!(spatial.len(), 2 | 3));
    let spatial = spatial.ok_or_else(|| Stop::wrong("the size must have 4 or 5 elements"))?;
    one([vec![batch], spatial.to_vec(), vec![DimExpr::known(spatial.len())]].concat())
}
