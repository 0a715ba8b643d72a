//! Operators of com.microsoft that exporters and optimizers of float and int8 networks produce.

use super::broadcast::broadcast;
use super::convolution::convolved;
use super::elementwise::same;
use super::join::concat_shapes;
use super::matmul::{gemm, product, product_of};
use super::normalize::layer;
use super::pool::{global, pooled};
use super::quantize::{dequantized, quantized};
use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, Stop, axis};
use crate::row::ElementType::{By, Common, Is, Like};
use crate::row::{OpRow, one};
use intact8_ir::DType::{self, F32, I32};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("Attention", &[Common(3)], packed_attention),
    OpRow::tensors("BiasGelu", &[Common(2)], same),
    OpRow::tensors("DequantizeLinear", &[By(dequantized)], same),
    OpRow::tensors("DynamicQuantizeMatMul", &[Is(F32)], |ctx| product(ctx, 0, 1)),
    OpRow::tensors("EmbedLayerNormalization", &[Like(2), Is(I32), Like(2)], embedded),
    OpRow::tensors("FastGelu", &[Common(2)], same),
    OpRow::tensors("FusedConv", &[Common(3)], |ctx| convolved(ctx, 0, 1)),
    OpRow::tensors("FusedGemm", &[Common(3)], |ctx| gemm(ctx, 0, 1)),
    OpRow::tensors("FusedMatMul", &[Common(2)], fused_product),
    OpRow::tensors("GatherBlockQuantized", &[Like(2)], block_gather),
    OpRow::tensors("Gelu", &[Like(0)], same),
    OpRow::tensors("GroupQueryAttention", &[Like(0), By(cache_type)], group_query),
    OpRow::tensors("MatMulIntegerToFloat", &[Like(2)], |ctx| product(ctx, 0, 1)),
    OpRow::tensors("MatMulNBits", &[Like(0)], packed_product),
    OpRow::tensors("MultiHeadAttention", &[Like(0)], multi_head),
    OpRow::tensors("QGemm", &[By(gemm_type)], |ctx| gemm(ctx, 0, 3)),
    OpRow::tensors("QLinearAdd", &[Like(0)], |ctx| two(ctx, 0, 3)),
    OpRow::tensors("QLinearAveragePool", &[Like(0)], pooled),
    OpRow::tensors("QLinearConcat", &[Like(2)], concat),
    OpRow::tensors("QLinearGlobalAveragePool", &[Like(0)], global),
    OpRow::tensors("QLinearLeakyRelu", &[Like(0)], same),
    OpRow::tensors("QLinearMul", &[Like(0)], |ctx| two(ctx, 0, 3)),
    OpRow::tensors("QLinearSigmoid", &[Like(0)], same),
    OpRow::tensors("QLinearSoftmax", &[Like(0)], same),
    OpRow::tensors("QuantizeLinear", &[By(quantized)], same),
    OpRow::tensors("QuickGelu", &[Like(0)], same),
    OpRow::tensors("RotaryEmbedding", &[Like(0)], same),
    OpRow::tensors("SkipLayerNormalization", &[Like(0), Is(F32), Is(F32), Like(0)], skip),
    OpRow::tensors("SkipSimplifiedLayerNormalization", &[Like(0), Is(F32), Is(F32), Like(0)], skip),
];

/// The broadcast of two operands; scales and zero points lie between them.
fn two(ctx: &InferenceContext<'_>, left: usize, right: usize) -> Inferred<Vec<Option<Shape>>> {
    one(broadcast([ctx.shape(left)?, ctx.shape(right)?])?)
}

/// The operands are the result's scale and zero point, then for each part the tensor, its scale and its zero point.
fn concat(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let parts = (2..ctx.operands.len()).step_by(3);
    let shapes: Vec<Option<&[DimExpr]>> =
        parts.map(|slot| ctx.shape_if_known(slot)).collect::<Inferred<_>>()?;
    one(concat_shapes(&shapes, ctx.required_int("axis")?)?)
}

/// Float, unless the result has a zero point.
fn gemm_type(ctx: &InferenceContext<'_>) -> Inferred<Option<DType>> {
    Ok(if ctx.fact(8).is_some() { ctx.dtype(8) } else { Some(F32) })
}

/// A matrix product with transposed factors: the first dimension may move after the other batch dimensions, and then
/// the last two may be exchanged.
fn fused_product(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let factor = |slot: usize, batch: &str, matrix: &str| -> Inferred<Shape> {
        let mut shape = ctx.shape(slot)?.to_vec();
        let rank = shape.len();
        if rank > 2 && ctx.flag(batch)? {
            shape[..rank - 1].rotate_left(1);
        }
        if rank > 1 && ctx.flag(matrix)? {
            shape.swap(rank - 2, rank - 1);
        }
        Ok(shape)
    };
    one(product_of(&factor(0, "transBatchA", "transA")?, &factor(1, "transBatchB", "transB")?)?)
}

/// The weight is packed; the attributes `K` and `N` are its numbers of rows and columns.
fn packed_product(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let weight = ["K", "N"].map(|name| ctx.required_int(name).map(DimExpr::known));
    let [rows, columns] = weight;
    one(product_of(ctx.shape(0)?, &[rows?, columns?])?)
}

/// The result, two statistics, and the sum before normalization.
fn skip(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let mut shapes = layer(ctx)?;
    shapes.get_mut(3).into_iter().for_each(|sum| *sum = ctx.shape(0).ok().map(<[DimExpr]>::to_vec));
    Ok(shapes)
}

/// The shape of the indices replaces the axis; in a table of bytes, elements of `bits` bits are packed along the last
/// dimension.
fn block_gather(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (mut data, indices) = (ctx.shape(0)?.to_vec(), ctx.shape(1)?);
    let bits = ctx.int("bits", 4)?;
    match (ctx.dtype(0), data.last_mut()) {
        (Some(DType::U8), Some(last)) if [2, 4].contains(&bits) => *last = &*last * &DimExpr::known(8 / bits),
        (None, Some(last)) => *last = DimExpr::UNKNOWN,
        _ => {}
    }
    let axis = axis(ctx.int("gather_axis", 0)?, data.len())?;
    one([&data[..axis], indices, &data[axis + 1..]].concat())
}

fn no_sequences() -> Stop {
    Stop::wrong("operand 0 must have rank 3")
}

/// The type of the cached keys and values, or that of the query.
fn cache_type(ctx: &InferenceContext<'_>) -> Inferred<Option<DType>> {
    Ok(if ctx.fact(3).is_some() { ctx.dtype(3) } else { ctx.dtype(0) })
}

/// The result, and the cached keys and values with the new ones. Queries, keys and values may be packed in one operand.
fn group_query(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let [batch, length, width] = ctx.shape(0)? else { return Err(no_sequences()) };
    let [n_heads, n_kv_heads] = ["num_heads", "kv_num_heads"].map(|name| ctx.required_int(name));
    let (n_heads, n_kv_heads) = (n_heads?, n_kv_heads?);
    let n_all =
        if ctx.fact(1).is_some() { n_heads } else { n_heads.saturating_add(n_kv_heads.saturating_mul(2)) };
    let size = width.exact_div(&DimExpr::known(n_all));
    let past = match ctx.fact(3) {
        Some(_) => ctx.shape_if_known(3)?.and_then(|past| past.get(2)).cloned().unwrap_or(DimExpr::UNKNOWN),
        None => DimExpr::known(0),
    };
    let total = ctx.dim(6, "the length of the cache").unwrap_or(DimExpr::UNKNOWN);
    let present = vec![batch.clone(), DimExpr::known(n_kv_heads), total.max(&past), size.clone()];
    let result = vec![batch.clone(), length.clone(), &DimExpr::known(n_heads) * &size];
    Ok(vec![Some(result), Some(present.clone()), Some(present)])
}

/// The result, and the past and present keys and values, of queries, keys and values in separate operands.
fn multi_head(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let [batch, length, _] = ctx.shape(0)? else { return Err(Stop::unknown("the operands are packed")) };
    let heads = DimExpr::known(ctx.required_int("num_heads")?);
    let past = match ctx.fact(6) {
        Some(_) => ctx.shape_if_known(6)?.and_then(|past| past.get(2)).cloned().unwrap_or(DimExpr::UNKNOWN),
        None => DimExpr::known(0),
    };
    let cached = |slot: usize| {
        let (keys, size) = match ctx.shape(slot).ok()? {
            [_, keys, width] => (keys.clone(), width.exact_div(&heads)),
            [_, _, keys, size] => (keys.clone(), size.clone()),
            _ => return None,
        };
        Some(vec![batch.clone(), heads.clone(), &past + &keys, size])
    };
    let (keys, values) = (cached(1), cached(2));
    let result = values.as_ref().map(|values| vec![batch.clone(), length.clone(), &heads * &values[3]]);
    Ok(vec![result, keys, values])
}

/// Queries, keys and values are products of the first operand with a weight.
fn packed_attention(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let [batch, length, _] = ctx.shape(0)? else { return Err(no_sequences()) };
    let width = match ctx.op.ints("qkv_hidden_sizes")? {
        Some(&[_, _, width]) => DimExpr::known(width),
        Some(_) => return Err(Stop::wrong("qkv_hidden_sizes must be three numbers")),
        None => ctx.shape(1)?.last().map_or(DimExpr::UNKNOWN, |all| all.exact_div(&DimExpr::known(3))),
    };
    one(vec![batch.clone(), length.clone(), width])
}

/// Words `[batch,length]` in a table `[words,size]`: the result, the number of words of each row, and the sum before
/// normalization.
fn embedded(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let (words, table) = (ctx.shape_of_rank(0, 2)?, ctx.shape_if_known(2)?);
    let size = match table {
        Some([_, size]) => size.clone(),
        Some(table) => return Err(Stop::wrong(format!("a table must have rank 2, found {}", table.len()))),
        None => DimExpr::UNKNOWN,
    };
    let embedded = Some([words, &[size]].concat());
    Ok(vec![embedded.clone(), Some(vec![words[0].clone()]), embedded])
}
