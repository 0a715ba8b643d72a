//! Attention.

use super::elementwise::same;
use crate::fact::{Fact, Shape};
use crate::length::Length;
use crate::row::ElementType::{By, Common, Like};
use crate::row::{OpRow, one};
use crate::site::{Inferred, Site, Stop};
use intact8_ir::DType::{self, F32, F64};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("Attention", &[Like(0), Like(1), Like(2), Like(0)], attention),
    OpRow::tensors("LinearAttention", &[Common(3), By(state_type)], linear),
    OpRow::tensors("RotaryEmbedding", &[Common(3)], same),
];

pub(super) static PREVIEW: &[OpRow] = &[OpRow::tensors("FlexAttention", &[Like(0)], flexible)];

/// Queries, keys or values: `[batch,heads,length,size]`.
struct Heads {
    batch: Length,
    heads: Length,
    length: Length,
    size: Length,
}

/// Four dimensions as they are, or three of which the last holds all heads.
fn heads(site: &Site<'_>, slot: usize, attribute: &str) -> Inferred<Heads> {
    match site.shape(slot)? {
        [batch, heads, length, size] => {
            let [batch, heads, length, size] = [batch, heads, length, size].map(Length::clone);
            Ok(Heads { batch, heads, length, size })
        }
        [batch, length, all] => {
            let heads = Length::known(site.required_int(attribute)?);
            let size = all.exact_div(&heads);
            Ok(Heads { batch: batch.clone(), heads, length: length.clone(), size })
        }
        shape => {
            Err(Stop::wrong(format!("operand {slot} must have 3 or 4 dimensions, found {}", shape.len())))
        }
    }
}

/// The result, the keys and the values so far, and the products of queries and keys.
fn attention(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let query = heads(site, 0, "q_num_heads")?;
    let is_flat = site.shape(0)?.len() == 3;
    let (key, value) = (heads(site, 1, "kv_num_heads"), heads(site, 2, "kv_num_heads")?);
    let result = match is_flat {
        true => vec![query.batch.clone(), query.length.clone(), &query.heads * &value.size],
        false => vec![query.batch.clone(), query.heads.clone(), query.length.clone(), value.size.clone()],
    };
    let Ok(key) = key else { return one(result) };
    let total = match site.fact(4) {
        Some(_) => site
            .shape_if_known(4)?
            .and_then(|past| past.get(2))
            .map_or(Length::UNKNOWN, |past| past + &key.length),
        None => key.length,
    };
    let present = |batch: Length, heads: Length, size: Length| Some(vec![batch, heads, total.clone(), size]);
    let products = vec![query.batch, query.heads, query.length, total.clone()];
    let (keys, values) =
        (present(key.batch, key.heads, key.size), present(value.batch, value.heads, value.size));
    Ok(vec![Some(result), keys, values, Some(products)])
}

/// The state's own type, or that of the query.
fn state_type(site: &Site<'_>) -> Inferred<Option<DType>> {
    Ok(if site.fact(3).is_some() { site.dtype(3) } else { site.dtype(0) })
}

/// Flat queries, keys and values; the state is `[batch,heads,key size,value size]`.
fn linear(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let query = heads(site, 0, "q_num_heads")?;
    let (key, value) = (heads(site, 1, "kv_num_heads")?, heads(site, 2, "kv_num_heads")?);
    let result = vec![query.batch.clone(), query.length, &query.heads * &value.size];
    Ok(vec![Some(result), Some(vec![query.batch, key.heads, key.size, value.size])])
}

/// The bodies see the products of queries and keys, `[batch,heads,queries,keys]`.
fn flexible(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let query = heads(site, 0, "q_num_heads")?;
    let (key, value) = (heads(site, 1, "kv_num_heads")?, heads(site, 2, "kv_num_heads")?);
    let precision = crate::data_type::of_attribute(site, "softmax_precision")?;
    let precision = precision.unwrap_or(if site.dtype(0) == Some(F64) { F64 } else { F32 });
    let scores = vec![query.batch.clone(), query.heads.clone(), query.length.clone(), key.length];
    for body in ["score_mod", "prob_mod"] {
        if site.has(body) {
            site.run(body, &[Fact::tensor(Some(precision), Some(scores.clone()))])?;
        }
    }
    one(vec![query.batch, query.heads, query.length, value.size])
}
