//! Attention of ONNX Runtime: ONNX's Attention with biases and with integer masks.

use super::super::concat::parts;
use super::part::{OPSET, only_output, part, run_with};
use super::{add, combine};
use crate::call::Call;
use crate::number::{Number, with_float};
use crate::op::{CompileContext, Kernel, Outputs};
use crate::room::shape_of;
use intact8_ir::{Attr, DType, Error, Op, Result, Tensor};
use intact8_kernels::elementwise::Binary;

/// Operands are query, key, value (the last two may be split into heads already), the concatenated biases of the three, a mask of keys, a summand of the scores, and
/// the past keys and values.
pub(super) fn multi_head(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let heads = Heads::read(ctx)?;
    if ctx.has_output(3) {
        return Err(ctx.unsupported("scores among its outputs"));
    }
    if ctx.has_operand(8) || ctx.has_operand(9) {
        return Err(ctx.unsupported("a cache to write to"));
    }
    Ok(Box::new(move |call| {
        let mut three = [call.take(0)?, taken(call, 1)?, taken(call, 2)?];
        let ranks = three.each_ref().map(|tensor| tensor.shape().len());
        if ranks != [3, 3, 3] && ranks != [3, 4, 4] {
            return Err(Error::unsupported(format!(
                "no kernel for attention with queries, keys and values of ranks {ranks:?}; 3, 3, 3 and 3, 4, 4 are supported"
            )));
        }
        if let Some(bias) = call.optional(3)? {
            if bias.shape().len() != 1 {
                return Err(Error::invalid_data(format!(
                    "the bias must not have the shape {:?}",
                    bias.shape()
                )));
            }
            let width = |tensor: &Tensor| match *tensor.shape() {
                [_, heads, _, width] => heads.saturating_mul(width),
                _ => tensor.shape()[2],
            };
            let biases = parts(bias, 0, &three.each_ref().map(width), call)?;
            // Keys and values that are split into heads have their biases already.
            for (tensor, bias) in three.iter_mut().zip(biases).filter(|(tensor, _)| tensor.shape().len() == 3)
            {
                *tensor = combine(Binary::Add, tensor.clone(), bias, call)?;
            }
        }
        let past = [optional(call, 6)?, optional(call, 7)?];
        heads.attend(three, [4, 5], past, call)
    }))
}

/// Query, key and value are products of the first operand with weights, plus biases.
pub(super) fn packed(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let heads = Heads::read(ctx)?;
    let sizes = ctx.ints("qkv_hidden_sizes")?.map(|sizes| shape_of(&sizes)).transpose()?;
    if ctx.has_operand(4) || ctx.has_output(1) {
        return Err(ctx.unsupported("keys and values from before"));
    }
    if ctx.flag("do_rotary", false)? {
        return Err(ctx.unsupported("rotary embeddings"));
    }
    let product = part(ctx, &Op::new("MatMul"), OPSET, &[Some(0), Some(1)])?;
    Ok(Box::new(move |call| {
        let x = call.take(0)?;
        let mut all = only_output(run_with(&product, x, &[1], call)?)?;
        if call.optional(2)?.is_some() {
            all = add(all, 2, call)?;
        }
        let &[_, _, width] = all.shape() else { return Err(no_sequences()) };
        let sizes = sizes.clone().unwrap_or_else(|| vec![width / 3; 3]);
        let three = <[Tensor; 3]>::try_from(parts(&all, 2, &sizes, call)?);
        let three = three.map_err(|_| Error::invalid_model("qkv_hidden_sizes must be three numbers"))?;
        heads.attend(three, [3, 5], [None, None], call)
    }))
}

fn no_sequences() -> Error {
    Error::invalid_data("the input of attention must have rank 3")
}

/// Several inputs may be packed in one tensor.
fn taken(call: &mut Call<'_, '_>, slot: usize) -> Result<Tensor> {
    optional(call, slot)?.ok_or_else(|| Error::unsupported("no kernel for attention with packed operands"))
}

fn optional(call: &mut Call<'_, '_>, slot: usize) -> Result<Option<Tensor>> {
    match call.optional(slot)?.is_some() {
        true => call.take(slot).map(Some),
        false => Ok(None),
    }
}

struct Heads {
    attention: Kernel,
    /// The summand for the scores of masked keys.
    hidden: f32,
}

impl Heads {
    fn read(ctx: &CompileContext<'_>) -> Result<Heads> {
        let missing = || Error::invalid_model("the attribute num_heads is missing");
        let n_heads = Attr::Int(ctx.op.int("num_heads")?.ok_or_else(missing)?);
        let op = Op::new("Attention").with("q_num_heads", n_heads.clone()).with("kv_num_heads", n_heads);
        let op = op.with("is_causal", Attr::Int(ctx.flag("unidirectional", false)?.into()));
        let op = match ctx.float("scale", 0.0)? {
            0.0 => op,
            scale => op.with("scale", Attr::Float(scale)),
        };
        let hidden = ctx.float("mask_filter_value", -10_000.0)?;
        Ok(Heads { attention: part(ctx, &op, OPSET, &[None; 6])?, hidden })
    }

    /// The slots are those of a mask and of a summand of the scores.
    fn attend(
        &self,
        [query, key, value]: [Tensor; 3],
        [mask, added]: [usize; 2],
        past: [Option<Tensor>; 2],
        call: &mut Call<'_, '_>,
    ) -> Result<Outputs> {
        let n_past = past[0].as_ref().map_or(0, |past| past.shape().get(2).copied().unwrap_or(0));
        let n_keys = key.shape()[key.shape().len() - 2] + n_past;
        let mask = match call.optional(mask)? {
            Some(mask) => Some(self.additive(mask, query.shape()[0], n_keys, query.dtype(), call)?),
            None => None,
        };
        let added = match (mask, optional(call, added)?) {
            (Some(mask), Some(added)) => Some(combine(Binary::Add, mask, added, call)?),
            (mask, added) => mask.or(added),
        };
        let [past_key, past_value] = past;
        let operands = [Some(query), Some(key), Some(value), added, past_key, past_value];
        let operands = operands.into_iter().map(|tensor| tensor.map(Into::into)).collect();
        (self.attention)(&mut Call { operands, context: call.context })
    }

    /// An integer mask as a summand of the scores. The mask holds the number of keys of each sequence, or whether each
    /// key, or each pair of query and key, is visible.
    fn additive(
        &self,
        mask: &Tensor,
        batch: usize,
        n_keys: usize,
        dtype: DType,
        call: &Call<'_, '_>,
    ) -> Result<Tensor> {
        let values = mask.values::<i32>()?;
        let (shape, is_lengths) = match *mask.shape() {
            [n] if n == batch => ([batch, 1, 1, n_keys], true),
            [n, keys] if n == batch && keys == n_keys => ([batch, 1, 1, n_keys], false),
            [n, queries, keys] if n == batch && keys == n_keys => ([batch, 1, queries, n_keys], false),
            _ => {
                let message = format!("no kernel for attention with a mask of shape {:?}", mask.shape());
                return Err(Error::unsupported(message));
            }
        };
        let n = call.reserve::<f32>(&shape)?;
        let is_seen = |at: usize| match is_lengths {
            true => ((at % n_keys) as i64) < i64::from(values[at / n_keys]),
            false => values[at] != 0,
        };
        with_float!(dtype, T => {
            let number = |at: usize| if is_seen(at) { T::ZERO } else { T::from_f32(self.hidden) };
            Ok(Tensor::new(&shape, (0..n).map(number).collect()))
        })
    }
}
