//! Linear attention: a state matrix, which each key and value updates, replaces all keys and values.

use super::heads::dims;
use crate::call::Call;
use crate::data::Data;
use crate::op::{CompileContext, Kernel, Outputs};
use crate::real::{numbers, rounded};
use intact8_ir::{Error, Result, Tensor};

struct Linear {
    n_heads: [i64; 2],
    /// 0 means `1 / √(length of a key)`.
    scale: f32,
    /// Whether the state decays.
    is_gated: bool,
    /// Whether only the difference from the value that the state predicts is written.
    is_delta: bool,
}

pub(super) fn linear_attention(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (is_gated, is_delta) = match ctx.str("update_rule", "gated_delta")? {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => return Err(Error::invalid_model(format!("update_rule {other:?} is not defined by ONNX"))),
    };
    let n_heads = [ctx.int("q_num_heads", 0)?, ctx.int("kv_num_heads", 0)?];
    if n_heads.iter().any(|&n| n <= 0) || n_heads[0] % n_heads[1] != 0 {
        return Err(Error::invalid_model(format!("{n_heads:?} heads of queries and keys do not match")));
    }
    for (slot, what, is_needed) in [(4, "decay", is_gated), (5, "beta", is_delta)] {
        if ctx.has_operand(slot) != is_needed {
            let verb = if is_needed { "must have" } else { "must not have" };
            return Err(Error::invalid_model(format!("this update_rule {verb} the operand {what}")));
        }
    }
    let linear = Linear { n_heads, scale: ctx.float("scale", 0.0)?, is_gated, is_delta };
    Ok(Box::new(move |call| linear.run(call)))
}

/// The sizes that batches and positions share.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    len: usize,
    /// The numbers of heads of queries, and of keys and values.
    n_heads: [usize; 2],
    key: usize,
    value: usize,
}

/// The operands, and their widths.
struct Rows<'a> {
    values: std::borrow::Cow<'a, [f32]>,
    width: usize,
}

impl Rows<'_> {
    fn at(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }
}

impl Linear {
    fn run(&self, call: &Call<'_, '_>) -> Result<Outputs> {
        let (query, dtype) = (call.tensor(0)?, call.tensor(0)?.dtype());
        let sizes = self.sizes(query, call.tensor(1)?, call.tensor(2)?)?;
        let Sizes { batch, len, n_heads: [q_heads, kv_heads], key, value } = sizes;
        let rows = |slot: usize, widths: &[usize]| -> Result<Rows<'_>> {
            let tensor = call.tensor(slot)?;
            match *tensor.shape() {
                [b, l, width] if [b, l] == [batch, len] && widths.contains(&width) => {
                    Ok(Rows { values: numbers(tensor, dtype)?, width })
                }
                ref found => {
                    let expected = format!("[{batch}, {len}, one of {widths:?}]");
                    Err(Error::invalid_data(format!(
                        "operand {slot} has the shape {found:?}, not {expected}"
                    )))
                }
            }
        };
        let queries = rows(0, &[q_heads * key])?;
        let (keys, values) = (rows(1, &[kv_heads * key])?, rows(2, &[kv_heads * value])?);
        let decays = self.is_gated.then(|| rows(4, &[kv_heads, kv_heads * key])).transpose()?;
        let rates = self.is_delta.then(|| rows(5, &[kv_heads, 1])).transpose()?;
        let state_shape = [batch, kv_heads, key, value];
        let (mut state, state_type) = match call.optional(3)? {
            Some(past) if past.shape() == state_shape => {
                call.reserve::<f32>(&state_shape)?;
                (numbers::<f32>(past, past.dtype())?.into_owned(), past.dtype())
            }
            Some(past) => {
                let found = past.shape();
                return Err(Error::invalid_data(format!(
                    "past_state has the shape {found:?}, expected {state_shape:?}"
                )));
            }
            None => (call.zeros::<f32>(&state_shape)?, dtype),
        };
        let out_shape = [batch, len, q_heads * value];
        let mut out = call.zeros::<f32>(&out_shape)?;
        let scale = if self.scale == 0.0 { 1.0 / (key as f32).sqrt() } else { self.scale };
        let group = q_heads / kv_heads;
        let mut written = vec![0.0; value];
        for row in 0..batch * len {
            call.context.step()?;
            for head in 0..kv_heads {
                let state = &mut state[(row / len * kv_heads + head) * key * value..][..key * value];
                let key_row = &keys.at(row)[head * key..][..key];
                if let Some(decays) = &decays {
                    decay(decays.at(row), head, kv_heads, value, state);
                }
                written.copy_from_slice(&values.at(row)[head * value..][..value]);
                if let Some(rates) = &rates {
                    let rate = rates.at(row)[if rates.width == 1 { 0 } else { head }];
                    add_weighted(key_row, -1.0, state, &mut written);
                    written.iter_mut().for_each(|x| *x *= rate);
                }
                for (state, &factor) in state.chunks_exact_mut(value.max(1)).zip(key_row) {
                    state.iter_mut().zip(&written).for_each(|(state, x)| *state += factor * x);
                }
                for head in head * group..(head + 1) * group {
                    let out = &mut out[(row * q_heads + head) * value..][..value];
                    add_weighted(&queries.at(row)[head * key..][..key], scale, state, out);
                }
            }
        }
        let made = [rounded(dtype, &out_shape, out)?, rounded(state_type, &state_shape, state)?];
        Ok(Outputs::from_iter(made.map(Data::Tensor)))
    }

    fn sizes(&self, query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Sizes> {
        let [q_heads, kv_heads] = self.n_heads;
        let (.., key_width, is_packed) = dims(key.shape(), Some(kv_heads))?;
        let (batch, n_queries, len, width, _) = dims(query.shape(), Some(q_heads))?;
        let (.., value_width, _) = dims(value.shape(), Some(kv_heads))?;
        if !is_packed || key_width != width {
            let (query, key) = (query.shape(), key.shape());
            return Err(Error::invalid_data(format!("queries {query:?} and keys {key:?} do not match")));
        }
        Ok(Sizes { batch, len, n_heads: [n_queries, kv_heads as usize], key: width, value: value_width })
    }
}

/// Multiplies each row of the state by `e^decay`, with a decay for each row or each head.
fn decay(powers: &[f32], head: usize, n_heads: usize, width: usize, state: &mut [f32]) {
    let n_each = powers.len() / n_heads;
    let powers = &powers[head * n_each..][..n_each];
    for (idx, row) in state.chunks_exact_mut(width.max(1)).enumerate() {
        let factor = powers[if n_each == 1 { 0 } else { idx }].exp();
        row.iter_mut().for_each(|x| *x *= factor);
    }
}

/// Adds the weighted sum of rows times a factor.
fn add_weighted(weights: &[f32], factor: f32, rows: &[f32], sums: &mut [f32]) {
    for (row, weight) in rows.chunks_exact(sums.len().max(1)).zip(weights) {
        let weight = factor * weight;
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += weight * x);
    }
}
