//! Normalizations: the first output has the shape of the first operand, the others are statistics.

use super::elementwise::{all_same, same};
use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, axis};
use crate::row::ElementType::{Is, Like, Named};
use crate::row::OpRow;
use intact8_ir::DType::F32;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("BatchNormalization", &[Like(0), Like(3)], batch),
    OpRow::tensors("GroupNormalization", &[Like(0)], same),
    OpRow::tensors("InstanceNormalization", &[Like(0)], same),
    OpRow::tensors("LRN", &[Like(0)], same),
    OpRow::tensors("LayerNormalization", &[Like(0), Named("stash_type", Some(F32))], layer),
    OpRow::tensors("LpNormalization", &[Like(0)], same),
    OpRow::tensors("MeanVarianceNormalization", &[Like(0)], same),
    OpRow::tensors("RMSNormalization", &[Like(1)], same),
    OpRow::tensors("SimplifiedLayerNormalization", &[Like(1), Is(F32)], layer),
];

/// The statistics have one element for each channel.
fn batch(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = ctx.shape(0).map(<[DimExpr]>::to_vec);
    let statistics = ctx.shape(3).or_else(|_| ctx.shape(1)).ok().map(<[DimExpr]>::to_vec);
    let mut shapes = vec![statistics; ctx.n_outputs.max(1)];
    shapes[0] = Some(shape?);
    Ok(shapes)
}

/// The statistics have a dimension of 1 for each normalized dimension.
pub(super) fn layer(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = ctx.shape(0)?;
    let axis = axis(ctx.int("axis", -1)?, shape.len())?;
    let statistics = |idx: usize| if idx < axis { shape[idx].clone() } else { DimExpr::known(1) };
    let statistics: Shape = (0..shape.len()).map(statistics).collect();
    let mut shapes = all_same(ctx)?;
    shapes.iter_mut().skip(1).for_each(|shape| *shape = Some(statistics.clone()));
    Ok(shapes)
}
