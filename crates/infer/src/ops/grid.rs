//! Operators that resize images or sample them.

use crate::fact::Shape;
use crate::length::Length;
use crate::number::Number;
use crate::row::ElementType::Like;
use crate::row::{OpRow, one};
use crate::site::{Inferred, Site, Stop, axes};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("AffineGrid", &[Like(0)], affine),
    OpRow::tensors("GridSample", &[Like(0)], sample),
    OpRow::tensors("Resize", &[Like(0)], resize),
    OpRow::tensors("Upsample", &[Like(0)], resize),
];

/// Scales or sizes, for the axes that are named or for all.
fn resize(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = site.shape(0)?;
    let resized = match site.op.ints("axes")? {
        Some(list) => axes(list, shape.len())?,
        None => (0..shape.len()).collect(),
    };
    // Up to version 10 the scales are the second operand, or the attribute of an even older Upsample.
    let scales = if site.opset < 11 { 1 } else { 2 };
    let is_given = |slot: usize| {
        // An empty tensor is as good as none.
        let is_empty =
            |fact: &crate::fact::TensorFact| fact.shape.as_deref().is_some_and(|s| s.iter().any(|n| n.is(0)));
        site.fact(slot).is_some_and(|fact| !fact.as_tensor().is_some_and(is_empty))
    };
    let targets: Shape = if let Some(scales) = site.op.floats("scales")? {
        let lengths =
            resized.iter().zip(scales).map(|(&axis, &scale)| scaled(&shape[axis], f64::from(scale)));
        lengths.collect()
    } else if is_given(scales) {
        match site.elements(scales) {
            Some(found) => {
                let scale = |number: &Number| number.as_float();
                let lengths = resized.iter().zip(found.iter());
                lengths
                    .map(|(&axis, n)| scale(n).map_or(Length::UNKNOWN, |n| scaled(&shape[axis], n)))
                    .collect()
            }
            None => vec![site.unknown("scales are computed while the model runs"); resized.len()],
        }
    } else if site.opset >= 11 && is_given(3) {
        match site.lengths(3, "sizes") {
            Err(Stop::Unknown(reason)) => vec![site.unknown(reason); resized.len()],
            sizes => fitted(site, shape, &resized, sizes?.unwrap_or_default())?,
        }
    } else {
        return Err(Stop::wrong("there are neither scales nor sizes"));
    };
    if targets.len() != resized.len() {
        return Err(Stop::wrong(format!("there must be {} scales or sizes", resized.len())));
    }
    let mut result = shape.to_vec();
    resized.into_iter().zip(targets).for_each(|(axis, length)| result[axis] = length);
    one(result)
}

/// `floor(length · scale)` as 32-bit floats, which the scales are.
fn scaled(length: &Length, scale: f64) -> Length {
    match length.as_known() {
        Some(length) => {
            let scaled = (length as f32 * scale as f32).floor();
            if scaled.is_finite() { Length::known(scaled as i64) } else { Length::UNKNOWN }
        }
        None if scale.fract() == 0.0 && scale.abs() < 1e9 => length * &Length::known(scale as i64),
        None => {
            // Down by a whole number: exact where the length divides by it.
            let inverse = 1.0 / scale;
            let is_whole = inverse.fract() == 0.0 && (1.0..1e9).contains(&inverse);
            if is_whole { length.exact_div(&Length::known(inverse as i64)) } else { Length::UNKNOWN }
        }
    }
}

/// Sizes as they are, or such that the proportions stay: the scale of one axis is that of all.
fn fitted(site: &Site<'_>, shape: &[Length], resized: &[usize], sizes: Shape) -> Inferred<Shape> {
    let scale = match site.str("keep_aspect_ratio_policy", "stretch")? {
        "stretch" => return Ok(sizes),
        "not_larger" => f64::min,
        "not_smaller" => f64::max,
        other => return Err(Stop::wrong(format!("{other:?} is no policy that ONNX knows"))),
    };
    let known = |length: &Length| length.as_known().map(|length| length as f64);
    let scales = resized.iter().zip(&sizes).map(|(&axis, size)| Some(known(size)? / known(&shape[axis])?));
    let Some(scales) = scales.collect::<Option<Vec<f64>>>() else {
        return Ok(vec![Length::UNKNOWN; sizes.len()]);
    };
    let scale = scales.into_iter().reduce(scale).filter(|scale| scale.is_finite());
    let length = |&axis: &usize| {
        let rounded = (scale? * known(&shape[axis])? + 0.5).floor();
        Some(Length::known(rounded as i64))
    };
    Ok(resized.iter().map(|axis| length(axis).unwrap_or(Length::UNKNOWN)).collect())
}

/// Image `[N,C,…]` at the points of a grid `[N,…,r]`.
fn sample(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (image, grid) = (site.shape(0)?, site.shape(1)?);
    if image.len() < 3 || grid.len() != image.len() {
        let (a, b) = (image.len(), grid.len());
        return Err(Stop::wrong(format!("an image of {a} dimensions can't be sampled at a grid of {b}")));
    }
    one([&image[..2], &grid[1..grid.len() - 1]].concat())
}

/// The points `[N,…,r]` of an image of the given size `[N,C,…]`.
fn affine(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let batch = site.shape_of_rank(0, 3)?[0].clone();
    let size = site.required_lengths(1, "the size")?;
    let spatial = size.get(2..).filter(|spatial| matches!(spatial.len(), 2 | 3));
    let spatial = spatial.ok_or_else(|| Stop::wrong("the size must have 4 or 5 elements"))?;
    one([vec![batch], spatial.to_vec(), vec![Length::known(spatial.len())]].concat())
}
