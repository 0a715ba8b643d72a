//! Pools, and operators that pool regions.

use super::convolution::spread;
use super::window::{Window, known, sized};
use crate::fact::Shape;
use crate::length::Length;
use crate::row::ElementType::{Is, Like};
use crate::row::{OpRow, one};
use crate::site::{Inferred, Site, Stop};
use intact8_ir::DType::I64;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("AveragePool", &[Like(0)], pooled),
    OpRow::tensors("GlobalAveragePool", &[Like(0)], global),
    OpRow::tensors("GlobalLpPool", &[Like(0)], global),
    OpRow::tensors("GlobalMaxPool", &[Like(0)], global),
    OpRow::tensors("LpPool", &[Like(0)], pooled),
    OpRow::tensors("MaxPool", &[Like(0), Is(I64)], pooled),
    OpRow::tensors("MaxRoiPool", &[Like(0)], pooled_regions),
    OpRow::tensors("MaxUnpool", &[Like(0)], unpooled),
    OpRow::tensors("RoiAlign", &[Like(0)], aligned_regions),
];

/// The shape of an image with its channels second, and whether they are last in the file.
fn image(site: &Site<'_>) -> Inferred<(Shape, bool)> {
    let (mut shape, channels_last) = (site.shape(0)?.to_vec(), site.flag("channels_last")?);
    if shape.len() < 2 {
        return Err(Stop::wrong(format!("an image has at least 2 dimensions, found {}", shape.len())));
    }
    if channels_last {
        shape[1..].rotate_right(1);
    }
    Ok((shape, channels_last))
}

/// `[N,C,…]`, every output alike.
pub(super) fn pooled(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (mut shape, channels_last) = image(site)?;
    let spatial = Window::read(site, shape.len() - 2, None)?.counts(&shape[2..], site.flag("ceil_mode")?);
    shape.splice(2.., spatial);
    if channels_last {
        shape[1..].rotate_left(1);
    }
    Ok(vec![Some(shape); site.n_outputs])
}

/// `[N,C,1,…]`.
pub(super) fn global(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (mut shape, channels_last) = image(site)?;
    shape[2..].fill(Length::known(1));
    if channels_last {
        shape[1..].rotate_left(1);
    }
    one(shape)
}

/// What a pool would make the input of, or the shape that the third operand has.
fn unpooled(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    if let Some(shape) = site.lengths_or_unknown(2, "the output's shape")? {
        return one(shape);
    }
    let (mut shape, _) = image(site)?;
    let window = Window::read(site, shape.len() - 2, None)?;
    let spatial: Shape =
        shape[2..].iter().enumerate().map(|(idx, length)| spread(&window, idx, length, 0)).collect();
    shape.splice(2.., spatial);
    one(shape)
}

/// `[regions,C,height,width]`.
fn regions(site: &Site<'_>, pooled: [Length; 2]) -> Inferred<Vec<Option<Shape>>> {
    let channels = site.shape_of_rank(0, 4)?[1].clone();
    let n_regions = site.shape_of_rank(1, 2)?[0].clone();
    one([vec![n_regions, channels], pooled.to_vec()].concat())
}

fn pooled_regions(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    match sized("pooled_shape", site.op.sizes("pooled_shape", 0)?, 2)?.as_deref() {
        Some(&[height, width]) => regions(site, [known(height), known(width)]),
        _ => Err(Stop::wrong("attribute pooled_shape is missing")),
    }
}

fn aligned_regions(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let [height, width] = [site.int("output_height", 1)?, site.int("output_width", 1)?];
    regions(site, [height, width].map(Length::known))
}
