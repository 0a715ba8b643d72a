//! GroupQueryAttention of ONNX Runtime: causal attention over a cache of keys and values, with optional normalization
//! and rotary embedding of queries and keys.

use super::super::concat::parts;
use super::bias::{Bias, BiasAttrs, Causal};
use super::heads::{Heads, Sizes, side_by_side};
use super::rotary::{Angles, turn};
use super::{Attention, ScoreStage};
use crate::call::Call;
use crate::data::Data;
use crate::indices::{integer, integers};
use crate::op::{CompileContext, Kernel, Outputs};
use crate::real::{numbers, rounded};
use intact8_ir::{Error, Result, Tensor};

struct GroupQuery {
    attention: Attention,
    n_heads: usize,
    n_kv_heads: usize,
    /// Whether queries and keys are rotated.
    rotates: bool,
    /// Whether pairs are neighbours instead of elements of the two halves.
    interleaved: bool,
    /// The number of keys before its own that a query sees, if it is limited.
    window: Option<i64>,
    /// Whether each query has one more key of score 0 and without a value.
    smooth: bool,
    /// The epsilons of the normalizations of queries and keys.
    epsilons: [f32; 2],
}

/// The operands are query, key, value, the cached keys and values, the index of the last key of each sequence, the
/// number of all keys, cosines and sines, positions, a summand of the scores, a further score of each head, two scales
/// of the cache, and the weights of the normalizations.
pub(super) fn group_query_attention(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let count = |name: &str| {
        let count = usize::try_from(ctx.int(name, 0)?).ok().filter(|&count| count > 0);
        count.ok_or_else(|| Error::invalid_model(format!("{name} must be positive")))
    };
    let is_quantized = |name| Ok::<_, Error>(ctx.str(name, "NONE")? != "NONE");
    if is_quantized("k_quant_type")? || is_quantized("v_quant_type")? || ctx.has_operand(12) {
        return Err(ctx.unsupported("a quantized cache"));
    }
    if !ctx.flag("causal", true)? {
        return Err(ctx.unsupported("causal = 0"));
    }
    if ctx.flag("sliding_window_cache", false)? {
        return Err(ctx.unsupported("a cache as long as the window"));
    }
    if ctx.has_operand(16) {
        return Err(ctx.unsupported("padded queries"));
    }
    if ctx.has_output(3) {
        return Err(ctx.unsupported("scores among its outputs"));
    }
    let epsilon = ctx.float("qk_norm_epsilon", 1e-6)?;
    let window = match ctx.int("local_window_size", -1)? {
        size if size > 0 => Some(size - 1),
        _ => None,
    };
    let group_query = GroupQuery {
        attention: Attention {
            heads: [None; 2],
            bias: BiasAttrs::default(),
            scale: ctx.op.float("scale")?.filter(|&scale| scale != 0.0),
            softcap: ctx.float("softcap", 0.0)?,
            precision: None,
            watched: ScoreStage::Nothing,
            makes_present: true,
        },
        n_heads: count("num_heads")?,
        n_kv_heads: count("kv_num_heads")?,
        rotates: ctx.flag("do_rotary", false)?,
        interleaved: ctx.flag("rotary_interleaved", false)?,
        window,
        smooth: ctx.int("smooth_softmax", -1)? == 1,
        epsilons: [ctx.float("q_norm_epsilon", epsilon)?, ctx.float("k_norm_epsilon", epsilon)?],
    };
    Ok(Box::new(move |call| group_query.run(call)))
}

impl GroupQuery {
    fn run(&self, call: &Call<'_, '_>) -> Result<Outputs> {
        let [query, key, value] = self.split(call)?;
        let dtype = query.dtype();
        let &[batch, len, _] = query.shape() else { return Err(no_sequences()) };
        let cache = Cache::of(call, batch, len)?;
        let (mut q, mut k) =
            (numbers::<f32>(&query, dtype)?.into_owned(), numbers::<f32>(&key, dtype)?.into_owned());
        for (values, n_heads, slot, epsilon) in
            [(&mut q, self.n_heads, 14, self.epsilons[0]), (&mut k, self.n_kv_heads, 15, self.epsilons[1])]
        {
            call.reserve::<f32>(&[values.len()])?;
            self.place(values, n_heads, [slot, len], epsilon, &cache.past, call)?;
        }
        let v = numbers::<f32>(&value, dtype)?;
        let present_key = cache.joined(call, 3, &k, self.n_kv_heads, [batch, len])?;
        let present_value = cache.joined(call, 4, &v, self.n_kv_heads, [batch, len])?;
        let query = Tensor::new(query.shape(), q);
        let query = Heads::<f32>::of(&query, Some(self.n_heads as i64))?;
        let [key, value] = [Heads::<f32>::of(&present_key, None)?, Heads::<f32>::of(&present_value, None)?];
        let sizes = Sizes::of(&query, &key, &value)?;
        let causal = Causal { window: self.window, offsets: cache.past, sinks: self.sinks(call)? };
        let bias = Bias::causal(&sizes, causal, call.optional(10)?, call)?;
        let mut y = call.zeros::<f32>(&[sizes.n_rows(), value.width])?;
        self.attention.attend(call, [&query, &key, &value], &bias, &mut y, &mut [])?;
        let four = [batch, self.n_heads, len, value.width];
        let y = rounded(dtype, &[batch, len, self.n_heads * value.width], side_by_side(&four, &y, call)?)?;
        let present = [present_key, present_value].map(|present| {
            let shape = present.shape().to_vec();
            rounded(dtype, &shape, present.into_values::<f32>()?)
        });
        let [present_key, present_value] = present;
        Ok(Outputs::from_iter([y, present_key?, present_value?].map(Data::Tensor)))
    }

    /// Query, key and value; they may be packed in the first operand.
    fn split(&self, call: &Call<'_, '_>) -> Result<[Tensor; 3]> {
        let query = call.tensor(0)?;
        let n_all = self.n_heads + 2 * self.n_kv_heads;
        let three = match (call.optional(1)?, call.optional(2)?, query.shape()) {
            (Some(key), Some(value), _) => [query, key, value].map(Tensor::clone),
            (None, None, &[_, _, width]) if width % n_all == 0 => {
                let width = width / n_all;
                let lengths = [self.n_heads, self.n_kv_heads, self.n_kv_heads].map(|n| n * width);
                let three = <[Tensor; 3]>::try_from(parts(query, 2, &lengths, call)?);
                three.expect("three lengths give three parts")
            }
            (.., shape) => {
                return Err(Error::invalid_data(format!(
                    "queries of shape {shape:?} don't hold {n_all} heads, and keys and values are not both present"
                )));
            }
        };
        let [query, key, value] = three.each_ref().map(Tensor::shape);
        let (&[batch, len, q_width], &[.., kv_width]) = (query, key) else { return Err(no_sequences()) };
        let is_divisible = q_width % self.n_heads == 0 && kv_width % self.n_kv_heads == 0;
        if !is_divisible || key != [batch, len, kv_width] || value != key {
            return Err(Error::invalid_data(format!(
                "queries, keys and values of shapes {query:?}, {key:?} and {value:?} do not match"
            )));
        }
        Ok(three)
    }

    /// Normalizes and rotates the vectors of all heads.
    fn place(
        &self,
        values: &mut [f32],
        n_heads: usize,
        [norm, len]: [usize; 2],
        epsilon: f32,
        past: &[i64],
        call: &Call<'_, '_>,
    ) -> Result<()> {
        let width = values.len() / (past.len() * len * n_heads).max(1);
        if width == 0 {
            return Ok(());
        }
        if let Some(weight) = call.optional(norm)? {
            let weight = numbers::<f32>(weight, weight.dtype())?;
            if weight.len() != width {
                let n = weight.len();
                return Err(Error::invalid_data(format!(
                    "{n} weights normalize vectors of {width} elements"
                )));
            }
            values.chunks_exact_mut(width).for_each(|vector| normalize(vector, &weight, epsilon));
        }
        if !self.rotates {
            return Ok(());
        }
        let positions = self.positions(call, len, past)?;
        let [cos, sin] = [7, 8].map(|slot| Angles::at(call.tensor(slot)?, &positions));
        let (cos, sin) = (cos?, sin?);
        let n_angles = cos.width;
        if sin.width != n_angles || 2 * n_angles > width {
            return Err(Error::invalid_data(format!(
                "{n_angles} cosines and {} sines can't rotate vectors of {width} elements",
                sin.width
            )));
        }
        for (at, vectors) in values.chunks_exact_mut(n_heads * width).enumerate() {
            for vector in vectors.chunks_exact_mut(width) {
                turn(self.interleaved, &mut vector[..2 * n_angles], cos.row(at), sin.row(at));
            }
        }
        Ok(())
    }

    /// The position of each query of each sequence: stated ones, of which only the first counts if there is no past,
    /// or those after the past.
    fn positions(&self, call: &Call<'_, '_>, len: usize, past: &[i64]) -> Result<Vec<i64>> {
        let after = |first: i64| (0..len as i64).map(move |at| first.saturating_add(at));
        let Some(stated) = call.optional(9)? else {
            return Ok(past.iter().flat_map(|&past| after(past)).collect());
        };
        let stated = integers(stated)?;
        let is_first = integer(call.tensor(6)?)? == len as i64;
        match stated.first() {
            Some(&first) if is_first => Ok(past.iter().flat_map(|_| after(first)).collect()),
            _ if stated.len() == past.len() * len => Ok(stated.into_owned()),
            _ => Err(Error::invalid_data(format!(
                "{} positions for {} sequences of {len} queries",
                stated.len(),
                past.len()
            ))),
        }
    }

    /// For each head, the score of a key without a value, if there is one.
    fn sinks(&self, call: &Call<'_, '_>) -> Result<Option<Vec<f32>>> {
        let Some(sinks) = call.optional(11)? else {
            return Ok(self.smooth.then(|| vec![0.0; self.n_heads]));
        };
        if sinks.len() != self.n_heads {
            return Err(Error::invalid_data(format!("{} sinks for {} heads", sinks.len(), self.n_heads)));
        }
        Ok(Some(numbers::<f32>(sinks, sinks.dtype())?.into_owned()))
    }
}

/// RMS normalization of a vector.
fn normalize(vector: &mut [f32], weight: &[f32], epsilon: f32) {
    let mean = vector.iter().map(|x| x * x).sum::<f32>() / vector.len() as f32;
    let factor = 1.0 / (mean + epsilon).sqrt();
    vector.iter_mut().zip(weight).for_each(|(x, weight)| *x *= factor * weight);
}

/// The lengths of the cache.
struct Cache {
    /// The number of keys before the first query of each sequence.
    past: Vec<i64>,
    /// The number of keys that the cache has room for.
    n_keys: usize,
}

impl Cache {
    fn of(call: &Call<'_, '_>, batch: usize, len: usize) -> Result<Cache> {
        let (last, total) = (integers(call.tensor(5)?)?, integer(call.tensor(6)?)?);
        let n_past = match (call.optional(3)?, call.optional(4)?) {
            (Some(key), Some(value)) if key.shape().len() == 4 && key.shape() == value.shape() => {
                key.shape()[2]
            }
            (None, None) => 0,
            _ => return Err(Error::invalid_data("the cached keys and values must have one shape of rank 4")),
        };
        let is_first = total == len as i64;
        let past = last.iter().map(|last| if is_first { 0 } else { last.saturating_add(1) - len as i64 });
        let past: Vec<i64> = past.collect();
        let fits = |&past: &i64| (0..=n_past as i64).contains(&past) && past + len as i64 <= total;
        if past.len() != batch || !past.iter().all(fits) {
            return Err(Error::invalid_data(format!(
                "last keys {last:?} of {total} do not fit {batch} sequences of {len} queries and {n_past} cached keys"
            )));
        }
        Ok(Cache { past, n_keys: n_past.max(total as usize) })
    }

    /// The cache in a slot with new vectors after the past of each sequence, `[batch,heads,keys,width]`.
    fn joined(
        &self,
        call: &Call<'_, '_>,
        slot: usize,
        new: &[f32],
        n_heads: usize,
        [batch, len]: [usize; 2],
    ) -> Result<Tensor> {
        let width = new.len() / (batch * len * n_heads).max(1);
        let shape = [batch, n_heads, self.n_keys, width];
        let mut out = call.zeros::<f32>(&shape)?;
        let past = call.optional(slot)?;
        let n_past = past.map_or(0, |past| past.shape()[2]);
        if past.is_some_and(|past| past.shape() != [batch, n_heads, n_past, width]) {
            let found = past.map(Tensor::shape);
            return Err(Error::invalid_data(format!("the cache of shape {found:?} does not fit {shape:?}")));
        }
        let past = past.map(|past| numbers::<f32>(past, past.dtype())).transpose()?;
        for (head, out) in out.chunks_exact_mut((self.n_keys * width).max(1)).enumerate() {
            let (sequence, within) = (head / n_heads, head % n_heads);
            let n_before = self.past[sequence] as usize;
            if let Some(past) = &past {
                out[..n_before * width].copy_from_slice(&past[head * n_past * width..][..n_before * width]);
            }
            for at in 0..len {
                let from = ((sequence * len + at) * n_heads + within) * width;
                out[(n_before + at) * width..][..width].copy_from_slice(&new[from..from + width]);
            }
        }
        Ok(Tensor::new(&shape, out))
    }
}

fn no_sequences() -> Error {
    Error::invalid_data("queries, keys and values of GroupQueryAttention must have rank 3")
}
