//! Attention, and related operators of sequence models.

mod bias;
mod causal_conv;
mod flex;
mod group_query;
mod heads;
mod linear;
mod rotary;
mod scores;

use crate::call::Call;
use crate::data::Data;
use crate::number::FLOATS;
use crate::op::{CompileContext, Kernel, OpRow, Outputs};
use crate::real::{expect_type, rounded, with_real};
use bias::{Bias, BiasAttrs};
use heads::{Heads, Sizes, joined};
use intact8_ir::{DType, Error, Result};
use scores::{Score, softmax_of};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::since(23, "Attention", FLOATS, attention),
    OpRow::since(27, "CausalConvWithState", HALVES, causal_conv::causal_conv),
    OpRow::since(27, "LinearAttention", HALVES, linear::linear_attention),
    OpRow::since(23, "RotaryEmbedding", HALVES, rotary::rotary_embedding),
];

/// Operators of ONNX's preview domain.
pub(super) static PREVIEW_ROWS: &[OpRow] = &[OpRow::since(1, "FlexAttention", FLOATS, flex::flex_attention)];

/// Operators of ONNX Runtime.
pub(super) static ROWS_OF_MICROSOFT: &[OpRow] = &[
    OpRow::since(1, "GroupQueryAttention", HALVES, group_query::group_query_attention),
    OpRow::since(1, "RotaryEmbedding", HALVES, rotary::rotary_embedding_of_microsoft),
];

/// Floats of at most 32 bits.
const HALVES: &[DType] = &[DType::F32, DType::F16, DType::Bf16];

/// The number of scores that are computed at a time, if they are not an output: those that fit a cache.
const PIECE: usize = 1 << 17;

/// The stage of the scores that is the fourth output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScoreStage {
    Nothing,
    Product,
    Capped,
    Biased,
    Probabilities,
}

struct Attention {
    heads: [Option<i64>; 2],
    bias: BiasAttrs,
    scale: Option<f32>,
    softcap: f32,
    precision: Option<DType>,
    watched: ScoreStage,
    makes_present: bool,
}

fn attention(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let watched = match ctx.int("qk_matmul_output_mode", 0)? {
        _ if !ctx.has_output(3) => ScoreStage::Nothing,
        0 => ScoreStage::Product,
        1 => ScoreStage::Capped,
        2 => ScoreStage::Biased,
        3 => ScoreStage::Probabilities,
        other => {
            return Err(Error::invalid_model(format!("qk_matmul_output_mode must be 0 to 3, found {other}")));
        }
    };
    let attention = Attention {
        heads: [ctx.op.int("q_num_heads")?, ctx.op.int("kv_num_heads")?],
        bias: BiasAttrs::read(ctx)?,
        scale: ctx.op.float("scale")?,
        softcap: ctx.float("softcap", 0.0)?,
        precision: precision(ctx)?,
        watched,
        makes_present: ctx.has_output(1) || ctx.has_output(2),
    };
    Ok(Box::new(move |call| {
        let types = [call.tensor(0)?.dtype(), call.tensor(2)?.dtype()];
        let widest = if types.contains(&DType::F64) { DType::F64 } else { types[0] };
        with_real!(widest, R => attention.run::<R>(call))
    }))
}

/// The type in which the softmax is computed, if the attribute is present.
fn precision(ctx: &CompileContext<'_>) -> Result<Option<DType>> {
    match ctx.dtype("softmax_precision")? {
        Some(dtype) if !dtype.is_float() => {
            Err(Error::invalid_model(format!("softmax_precision is {dtype}, which is not a float type")))
        }
        dtype => Ok(dtype),
    }
}

impl Attention {
    fn run<R: Score>(&self, call: &Call<'_, '_>) -> Result<Outputs> {
        let (q, k, v) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
        expect_type(k, q.dtype())?;
        let [q_heads, kv_heads] = self.heads;
        let past = [call.optional(4)?, call.optional(5)?];
        if past[0].is_some() != past[1].is_some() {
            return Err(Error::invalid_data("past_key and past_value must both be present or absent"));
        }
        let mut present = [k.clone(), v.clone()];
        if self.makes_present || past[0].is_some() {
            for (present, past) in present.iter_mut().zip(past) {
                *present = joined(past, present, kv_heads, call)?;
            }
        }
        let query = Heads::<R>::of(q, q_heads)?;
        let [key, value] = [Heads::<R>::of(&present[0], kv_heads)?, Heads::<R>::of(&present[1], kv_heads)?];
        let sizes = Sizes::of(&query, &key, &value)?;
        let n_past = past[0].map(|past| past.shape()[2]);
        let bias = self.bias.over::<R>(&sizes, call, n_past)?;
        let mut y = call.zeros::<R>(&[sizes.n_rows(), value.width])?;
        let mut watched = match self.watched {
            ScoreStage::Nothing => vec![],
            _ => call.zeros::<R>(&[sizes.n_rows(), sizes.n_keys])?,
        };
        self.attend(call, [&query, &key, &value], &bias, &mut y, &mut watched)?;
        let four = [sizes.batch, sizes.n_heads, sizes.n_queries, value.width];
        let y = match q.shape().len() {
            3 => {
                let three = [sizes.batch, sizes.n_queries, sizes.n_heads * value.width];
                rounded(q.dtype(), &three, heads::side_by_side(&four, &y, call)?)?
            }
            _ => rounded(q.dtype(), &four, y)?,
        };
        let [present_key, present_value] = present;
        let mut outputs = Outputs::from_iter([y, present_key, present_value].map(Data::Tensor));
        if self.watched != ScoreStage::Nothing {
            let shape = [sizes.batch, sizes.n_heads, sizes.n_queries, sizes.n_keys];
            outputs.push(Data::Tensor(rounded(q.dtype(), &shape, watched)?));
        }
        Ok(outputs)
    }

    /// Computes the outputs of all queries, in blocks.
    fn attend<R: Score>(
        &self,
        call: &Call<'_, '_>,
        [query, key, value]: [&Heads<'_, R>; 3],
        bias: &Bias<'_, R>,
        y: &mut [R],
        watched: &mut [R],
    ) -> Result<()> {
        let sizes = bias.sizes;
        if y.is_empty() || sizes.n_keys == 0 {
            return Ok(());
        }
        let n_keys = sizes.n_keys;
        let n_at_a_time = sizes.rows_at_a_time(PIECE);
        let scale = self.scale.map_or_else(|| 1.0 / (query.width as f64).sqrt(), f64::from);
        let mut scores = call.zeros::<R>(&[n_at_a_time, n_keys])?;
        let mut chances = call.zeros::<R>(&[n_at_a_time, n_keys])?;
        let mut scaled = call.zeros::<R>(&[n_at_a_time, query.width])?;
        for first in (0..sizes.n_rows()).step_by(n_at_a_time) {
            call.context.step()?;
            let rows = first..sizes.n_rows().min(first + n_at_a_time);
            let scores = &mut scores[..rows.len() * n_keys];
            let chances = &mut chances[..scores.len()];
            let watched = watched.get_mut(first * n_keys..rows.end * n_keys).unwrap_or_default();
            let keep = |state, scores: &[R], watched: &mut [R]| {
                if self.watched == state {
                    watched.copy_from_slice(scores);
                }
            };
            scores.fill(R::ZERO);
            query.scaled_rows(&sizes, rows.clone(), R::from_f64(scale), &mut scaled);
            scores::add_products(
                &sizes,
                rows.clone(),
                &scaled,
                |batch, head| key.matrix(batch, head).transposed(),
                scores,
            );
            keep(ScoreStage::Product, scores, watched);
            scores::cap(R::from_f32(self.softcap), scores);
            keep(ScoreStage::Capped, scores, watched);
            let masked = bias.add(rows.clone(), scores);
            keep(ScoreStage::Biased, scores, watched);
            softmax_of(self.precision, n_keys, scores, chances)?;
            scores::clear_masked(n_keys, &masked, scores, chances);
            if let Some(sinks) = &bias.sinks {
                scores::share_with_sinks(&sizes, rows.clone(), sinks, scores, chances);
            }
            keep(ScoreStage::Probabilities, chances, watched);
            let y = &mut y[first * value.width..rows.end * value.width];
            scores::add_products(&sizes, rows, chances, |batch, head| value.matrix(batch, head), y);
        }
        Ok(())
    }
}
