//! Attention.

use super::elementwise::same;
use crate::dim_expr::DimExpr;
use crate::fact::{Fact, Shape};
use crate::inference_context::{InferenceContext, Inferred, Stop};
use crate::row::ElementType::{By, Common, Like};
use crate::row::{OpRow, one};
use intact8_ir::DType::{self, F32, F64};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("Attention", &[Like(0), Like(1), Like(2), Like(0)], attention),
    OpRow::tensors("LinearAttention", &[Common(3), By(state_type)], linear),
    OpRow::tensors("RotaryEmbedding", &[Common(3)], same),
];

pub(super) static PREVIEW: &[OpRow] = &[OpRow::tensors("FlexAttention", &[Like(0)], flexible)];

/// The dimensions of queries, keys or values: `[batch,heads,length,size]`.
struct Heads {
    batch: DimExpr,
    heads: DimExpr,
    length: DimExpr,
    size: DimExpr,
}

/// The dimensions of an operand of rank 4, or of rank 3 with all heads in the last dimension.
fn heads(ctx: &InferenceContext<'_>, slot: usize, attribute: &str) -> Inferred<Heads> {
    match ctx.shape(slot)? {
        [batch, heads, length, size] => {
            let [batch, heads, length, size] = [batch, heads, length, size].map(DimExpr::clone);
            Ok(Heads { batch, heads, length, size })
        }
        [batch, length, all] => {
            let heads = DimExpr::known(ctx.required_int(attribute)?);
            let size = all.exact_div(&heads);
            Ok(Heads { batch: batch.clone(), heads, length: length.clone(), size })
        }
        shape => Err(Stop::wrong(format!("operand {slot} must have rank 3 or 4, found {}", shape.len()))),
    }
}

/// The result, the past and present keys and values, and the products of queries and keys.
fn attention(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let query = heads(ctx, 0, "q_num_heads")?;
    let is_flat = ctx.shape(0)?.len() == 3;
    let (key, value) = (heads(ctx, 1, "kv_num_heads"), heads(ctx, 2, "kv_num_heads")?);
    let result = match is_flat {
        true => vec![query.batch.clone(), query.length.clone(), &query.heads * &value.size],
        false => vec![query.batch.clone(), query.heads.clone(), query.length.clone(), value.size.clone()],
    };
    let Ok(key) = key else { return one(result) };
    let total = match ctx.fact(4) {
        Some(_) => ctx
            .shape_if_known(4)?
            .and_then(|past| past.get(2))
            .map_or(DimExpr::UNKNOWN, |past| past + &key.length),
        None => key.length,
    };
    let present =
        |batch: DimExpr, heads: DimExpr, size: DimExpr| Some(vec![batch, heads, total.clone(), size]);
    let products = vec![query.batch, query.heads, query.length, total.clone()];
    let (keys, values) =
        (present(key.batch, key.heads, key.size), present(value.batch, value.heads, value.size));
    Ok(vec![Some(result), keys, values, Some(products)])
}

/// The type of the state, or that of the query.
fn state_type(ctx: &InferenceContext<'_>) -> Inferred<Option<DType>> {
    Ok(if ctx.fact(3).is_some() { ctx.dtype(3) } else { ctx.dtype(0) })
}

/// Queries, keys and values of rank 3; the state is `[batch,heads,key size,value size]`.
fn linear(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let query = heads(ctx, 0, "q_num_heads")?;
    let (key, value) = (heads(ctx, 1, "kv_num_heads")?, heads(ctx, 2, "kv_num_heads")?);
    let result = vec![query.batch.clone(), query.length, &query.heads * &value.size];
    Ok(vec![Some(result), Some(vec![query.batch, key.heads, key.size, value.size])])
}

/// The bodies receive the products of queries and keys, `[batch,heads,queries,keys]`.
fn flexible(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let query = heads(ctx, 0, "q_num_heads")?;
    let (key, value) = (heads(ctx, 1, "kv_num_heads")?, heads(ctx, 2, "kv_num_heads")?);
    let precision = crate::data_type::of_attribute(ctx, "softmax_precision")?;
    let precision = precision.unwrap_or(if ctx.dtype(0) == Some(F64) { F64 } else { F32 });
    let scores = vec![query.batch.clone(), query.heads.clone(), query.length.clone(), key.length];
    for body in ["score_mod", "prob_mod"] {
        if ctx.has(body) {
            ctx.run(body, &[Fact::tensor(Some(precision), Some(scores.clone()))])?;
        }
    }
    one(vec![query.batch, query.heads, query.length, value.size])
}
