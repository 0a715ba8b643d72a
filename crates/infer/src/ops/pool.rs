//! Pooling, also over regions.

use super::convolution::spread;
use super::window::{Window, known, sized};
use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, Stop};
use crate::row::ElementType::{Is, Like};
use crate::row::{OpRow, one};
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

/// The shape of an image with its channels second, and whether the operand has them last.
fn image(ctx: &InferenceContext<'_>) -> Inferred<(Shape, bool)> {
    let (mut shape, channels_last) = (ctx.shape(0)?.to_vec(), ctx.flag("channels_last")?);
    if shape.len() < 2 {
        return Err(Stop::wrong(format!("an image must have rank 2 or more, found {}", shape.len())));
    }
    if channels_last {
        shape[1..].rotate_right(1);
    }
    Ok((shape, channels_last))
}

/// `[N,C,…]`, the same for every output.
pub(super) fn pooled(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (mut shape, channels_last) = image(ctx)?;
    let spatial = Window::read(ctx, shape.len() - 2, None)?.counts(&shape[2..], ctx.flag("ceil_mode")?);
    shape.splice(2.., spatial);
    if channels_last {
        shape[1..].rotate_left(1);
    }
    Ok(vec![Some(shape); ctx.n_outputs])
}

/// `[N,C,1,…]`.
pub(super) fn global(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (mut shape, channels_last) = image(ctx)?;
    shape[2..].fill(DimExpr::known(1));
    if channels_last {
        shape[1..].rotate_left(1);
    }
    one(shape)
}

/// The shape of which a pool would produce the input, or the shape in the third operand.
fn unpooled(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    if let Some(shape) = ctx.dims_or_unknown(2, "the output's shape")? {
        return one(shape);
    }
    let (mut shape, _) = image(ctx)?;
    let window = Window::read(ctx, shape.len() - 2, None)?;
    let spatial: Shape =
        shape[2..].iter().enumerate().map(|(idx, length)| spread(&window, idx, length, 0)).collect();
    shape.splice(2.., spatial);
    one(shape)
}

/// `[regions,C,height,width]`.
fn regions(ctx: &InferenceContext<'_>, pooled: [DimExpr; 2]) -> Inferred<Vec<Option<Shape>>> {
    let channels = ctx.shape_of_rank(0, 4)?[1].clone();
    let n_regions = ctx.shape_of_rank(1, 2)?[0].clone();
    one([vec![n_regions, channels], pooled.to_vec()].concat())
}

fn pooled_regions(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    match sized("pooled_shape", ctx.op.sizes("pooled_shape", 0)?, 2)?.as_deref() {
        Some(&[height, width]) => regions(ctx, [known(height), known(width)]),
        _ => Err(Stop::wrong("attribute pooled_shape is missing")),
    }
}

fn aligned_regions(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let [height, width] = [ctx.int("output_height", 1)?, ctx.int("output_width", 1)?];
    regions(ctx, [height, width].map(DimExpr::known))
}
