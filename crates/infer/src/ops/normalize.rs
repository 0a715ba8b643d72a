//! Normalizations: the first output has the shape of the first operand, the others are statistics.

use super::elementwise::{all_same, same};
use crate::fact::Shape;
use crate::length::Length;
use crate::row::ElementType::{Like, Named};
use crate::row::OpRow;
use crate::site::{Inferred, Site, axis};
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
];

/// The statistics have one element a channel.
fn batch(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = site.shape(0).map(<[Length]>::to_vec);
    let statistics = site.shape(3).or_else(|_| site.shape(1)).ok().map(<[Length]>::to_vec);
    let mut shapes = vec![statistics; site.n_outputs.max(1)];
    shapes[0] = Some(shape?);
    Ok(shapes)
}

/// The statistics have a dimension of 1 for each that is normalized.
pub(super) fn layer(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let shape = site.shape(0)?;
    let axis = axis(site.int("axis", -1)?, shape.len())?;
    let statistics = |idx: usize| if idx < axis { shape[idx].clone() } else { Length::known(1) };
    let statistics: Shape = (0..shape.len()).map(statistics).collect();
    let mut shapes = all_same(site)?;
    shapes.iter_mut().skip(1).for_each(|shape| *shape = Some(statistics.clone()));
    Ok(shapes)
}
