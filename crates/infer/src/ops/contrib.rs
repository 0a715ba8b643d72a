//! Microsoft's operators, as far as exporters and optimizers of float and int8 networks make them.

use super::broadcast::broadcast;
use super::convolution::convolved;
use super::elementwise::same;
use super::join::concat_shapes;
use super::matmul::{gemm, product, product_of};
use super::normalize::layer;
use super::pool::{global, pooled};
use super::quantize::{dequantized, quantized};
use crate::fact::Shape;
use crate::length::Length;
use crate::row::ElementType::{By, Common, Is, Like};
use crate::row::{OpRow, one};
use crate::site::{Inferred, Site, Stop};
use intact8_ir::DType::{self, F32, I32};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("BiasGelu", &[Common(2)], same),
    OpRow::tensors("DequantizeLinear", &[By(dequantized)], same),
    OpRow::tensors("DynamicQuantizeMatMul", &[Is(F32)], |site| product(site, 0, 1)),
    OpRow::tensors("EmbedLayerNormalization", &[Like(2), Is(I32), Like(2)], embedded),
    OpRow::tensors("FastGelu", &[Common(2)], same),
    OpRow::tensors("FusedConv", &[Common(3)], |site| convolved(site, 0, 1)),
    OpRow::tensors("FusedGemm", &[Common(3)], |site| gemm(site, 0, 1)),
    OpRow::tensors("FusedMatMul", &[Common(2)], fused_product),
    OpRow::tensors("Gelu", &[Like(0)], same),
    OpRow::tensors("MatMulIntegerToFloat", &[Like(2)], |site| product(site, 0, 1)),
    OpRow::tensors("MatMulNBits", &[Like(0)], packed_product),
    OpRow::tensors("QGemm", &[By(gemm_type)], |site| gemm(site, 0, 3)),
    OpRow::tensors("QLinearAdd", &[Like(0)], |site| two(site, 0, 3)),
    OpRow::tensors("QLinearAveragePool", &[Like(0)], pooled),
    OpRow::tensors("QLinearConcat", &[Like(2)], concat),
    OpRow::tensors("QLinearGlobalAveragePool", &[Like(0)], global),
    OpRow::tensors("QLinearLeakyRelu", &[Like(0)], same),
    OpRow::tensors("QLinearMul", &[Like(0)], |site| two(site, 0, 3)),
    OpRow::tensors("QLinearSigmoid", &[Like(0)], same),
    OpRow::tensors("QLinearSoftmax", &[Like(0)], same),
    OpRow::tensors("QuantizeLinear", &[By(quantized)], same),
    OpRow::tensors("QuickGelu", &[Like(0)], same),
    OpRow::tensors("SkipLayerNormalization", &[Like(0), Is(F32), Is(F32), Like(0)], skip),
    OpRow::tensors("SkipSimplifiedLayerNormalization", &[Like(0), Is(F32), Is(F32), Like(0)], skip),
];

/// Two operands that broadcast, between their scales and zero points.
fn two(site: &Site<'_>, left: usize, right: usize) -> Inferred<Vec<Option<Shape>>> {
    one(broadcast([site.shape(left)?, site.shape(right)?])?)
}

/// The result's scale and zero point, then three operands for each part: itself, its scale, its zero point.
fn concat(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let parts = (2..site.operands.len()).step_by(3);
    let shapes: Vec<Option<&[Length]>> =
        parts.map(|slot| site.shape_if_known(slot)).collect::<Inferred<_>>()?;
    one(concat_shapes(&shapes, site.required_int("axis")?)?)
}

/// Floats, unless there is a zero point for the result.
fn gemm_type(site: &Site<'_>) -> Inferred<Option<DType>> {
    Ok(if site.fact(8).is_some() { site.dtype(8) } else { Some(F32) })
}

/// A matrix product whose factors may be transposed: the first dimension may go behind the other batches, and then the
/// last two may change places.
fn fused_product(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let factor = |slot: usize, batch: &str, matrix: &str| -> Inferred<Shape> {
        let mut shape = site.shape(slot)?.to_vec();
        let rank = shape.len();
        if rank > 2 && site.flag(batch)? {
            shape[..rank - 1].rotate_left(1);
        }
        if rank > 1 && site.flag(matrix)? {
            shape.swap(rank - 2, rank - 1);
        }
        Ok(shape)
    };
    one(product_of(&factor(0, "transBatchA", "transA")?, &factor(1, "transBatchB", "transB")?)?)
}

/// The weight is packed; the attributes say that it has `K` rows and `N` columns.
fn packed_product(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let weight = ["K", "N"].map(|name| site.required_int(name).map(Length::known));
    let [rows, columns] = weight;
    one(product_of(site.shape(0)?, &[rows?, columns?])?)
}

/// The result, two statistics, and the sum that was normalized.
fn skip(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let mut shapes = layer(site)?;
    shapes.get_mut(3).into_iter().for_each(|sum| *sum = site.shape(0).ok().map(<[Length]>::to_vec));
    Ok(shapes)
}

/// Words `[batch,length]` in a table `[words,size]`: the result, how many words each row has, and the sum that was
/// normalized.
fn embedded(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (words, table) = (site.shape_of_rank(0, 2)?, site.shape_if_known(2)?);
    let size = match table {
        Some([_, size]) => size.clone(),
        Some(table) => return Err(Stop::wrong(format!("a table has 2 dimensions, found {}", table.len()))),
        None => Length::UNKNOWN,
    };
    let embedded = Some([words, &[size]].concat());
    Ok(vec![embedded.clone(), Some(vec![words[0].clone()]), embedded])
}
