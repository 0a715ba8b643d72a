//! Summands of the scores: the mask, and minus infinity for keys that are hidden from a query.

use super::heads::Sizes;
use super::scores::Score;
use crate::call::Call;
use crate::indices::integers;
use crate::number::Number;
use crate::op::CompileContext;
use crate::stand_in::{widened, with_widened};
use intact8_ir::{DType, Error, Result, Tensor};
use std::borrow::Cow;
use std::ops::Range;

/// The attributes for hidden keys.
#[derive(Default)]
pub(super) struct BiasAttrs {
    is_causal: bool,
    /// The numbers of visible keys before and after a query's position, if they are limited.
    window: [Option<i64>; 2],
    /// Whether a mask for fewer keys hides the remaining ones.
    hides_rest: bool,
}

/// The summands of the scores of an attention.
pub(super) struct Bias<'a, R: Clone> {
    pub(super) sizes: Sizes,
    mask: Option<Mask<'a, R>>,
    is_causal: bool,
    window: [Option<i64>; 2],
    /// For each batch, the position of the first query among the keys.
    offsets: Vec<i64>,
    /// For each batch, the number of keys; the others are padding.
    lengths: Option<Vec<i64>>,
    /// For each head, the score of one more key, which has no value and only takes its part of the probability.
    pub(super) sinks: Option<Vec<R>>,
}

/// A causal attention with a cache.
pub(super) struct Causal<R> {
    /// The number of visible keys before a query's own, if it is limited.
    pub(super) window: Option<i64>,
    /// For each batch, the position of the first query among the keys.
    pub(super) offsets: Vec<i64>,
    /// For each head, the score of one more key without a value.
    pub(super) sinks: Option<Vec<R>>,
}

impl<'a, R: Score> Bias<'a, R> {
    /// The summands of a causal attention, with a mask of the first keys.
    pub(super) fn causal(
        sizes: &Sizes,
        Causal { window, offsets, sinks }: Causal<R>,
        mask: Option<&'a Tensor>,
        call: &Call<'_, '_>,
    ) -> Result<Bias<'a, R>> {
        let mask = mask.map(|mask| Mask::over(mask, sizes, true, call)).transpose()?;
        let window = [window, None];
        Ok(Bias { sizes: *sizes, mask, is_causal: true, window, offsets, lengths: None, sinks })
    }
}

struct Mask<'a, R: Clone> {
    values: Cow<'a, [R]>,
    /// The distances between batches, heads and queries, in elements.
    steps: [usize; 3],
    /// The number of keys with a value.
    len: usize,
    /// Whether one value applies to all keys.
    is_single: bool,
}

impl BiasAttrs {
    pub(super) fn read(ctx: &CompileContext<'_>) -> Result<BiasAttrs> {
        let side = |name| match ctx.int(name, -1)? {
            -1 => Ok(None),
            size if size >= 0 => Ok(Some(size)),
            size => Err(Error::invalid_model(format!("{name} must be -1 or more, found {size}"))),
        };
        Ok(BiasAttrs {
            is_causal: ctx.flag("is_causal", false)?,
            window: [side("left_window_size")?, side("right_window_size")?],
            hides_rest: ctx.opset >= 24,
        })
    }

    pub(super) fn over<'c, R: Score>(
        &self,
        sizes: &Sizes,
        call: &'c Call<'_, '_>,
        n_past: Option<usize>,
    ) -> Result<Bias<'c, R>> {
        let lengths = call.optional(6)?.map(|lengths| self.lengths(lengths, sizes)).transpose()?;
        let offsets = match (&lengths, n_past) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid_data("nonpad_kv_seqlen and past_key exclude each other"));
            }
            (Some(lengths), None) => lengths.iter().map(|length| length - sizes.n_queries as i64).collect(),
            (None, n_past) => vec![n_past.unwrap_or(0) as i64; sizes.batch],
        };
        let mask =
            call.optional(3)?.map(|mask| Mask::over(mask, sizes, self.hides_rest, call)).transpose()?;
        let (is_causal, window) = (self.is_causal, self.window);
        Ok(Bias { sizes: *sizes, mask, is_causal, window, offsets, lengths, sinks: None })
    }

    fn lengths(&self, operand: &Tensor, sizes: &Sizes) -> Result<Vec<i64>> {
        let lengths = integers(operand)?.into_owned();
        let is_fitting = |length: &i64| (0..=sizes.n_keys as i64).contains(length);
        if lengths.len() != sizes.batch || !lengths.iter().all(is_fitting) {
            let (batch, n_keys) = (sizes.batch, sizes.n_keys);
            return Err(Error::invalid_data(format!(
                "nonpad_kv_seqlen {lengths:?} is not {batch} lengths up to {n_keys}"
            )));
        }
        Ok(lengths)
    }
}

impl<R: Score> Bias<'_, R> {
    /// Adds the summands to the scores of some rows. Returns which rows have no visible key; empty if no key is hidden.
    pub(super) fn add(&self, rows: Range<usize>, scores: &mut [R]) -> Vec<bool> {
        let hides = self.is_causal || self.window != [None; 2] || self.lengths.is_some();
        if !hides && self.mask.is_none() {
            return vec![];
        }
        let rows = rows.zip(scores.chunks_exact_mut(self.sizes.n_keys));
        rows.map(|(row, scores)| {
            let (batch, head, query) = self.sizes.coordinates(row);
            let seen = self.seen(batch, query);
            match &self.mask {
                Some(mask) => mask.add(batch, head, query, seen, scores),
                None => {
                    hide(&seen, scores);
                    seen.is_empty()
                }
            }
        })
        .collect()
    }

    /// The visible keys of a query.
    fn seen(&self, batch: usize, query: usize) -> Range<usize> {
        let position = self.offsets[batch] + query as i64;
        let mut end = self.lengths.as_ref().map_or(self.sizes.n_keys as i64, |lengths| lengths[batch]);
        let [left, right] = self.window;
        if let Some(reach) = if self.is_causal { Some(0) } else { right } {
            end = end.min(position.saturating_add(reach).saturating_add(1));
        }
        let start = left.map_or(0, |reach| position.saturating_sub(reach)).clamp(0, self.sizes.n_keys as i64);
        start as usize..end.max(start) as usize
    }
}

impl<'a, R: Score> Mask<'a, R> {
    fn over(mask: &'a Tensor, sizes: &Sizes, hides_rest: bool, call: &Call<'_, '_>) -> Result<Mask<'a, R>> {
        let shape = mask.shape();
        let misfit = || {
            let Sizes { batch, n_heads, n_queries, n_keys, .. } = *sizes;
            let expected = [batch, n_heads, n_queries, n_keys];
            Error::invalid_data(format!("a mask of shape {shape:?} does not broadcast to {expected:?}"))
        };
        let (len, outer) = match shape.split_last() {
            Some((&len, outer)) => (len, outer),
            None => (1, &[][..]),
        };
        let is_single = len == 1 && (!hides_rest || shape.is_empty());
        if outer.len() > 3 || len > sizes.n_keys || (len < sizes.n_keys && !hides_rest && !is_single) {
            return Err(misfit());
        }
        let mut steps = [0; 3];
        let mut step = len;
        let expected = [sizes.batch, sizes.n_heads, sizes.n_queries];
        for (back, &dim) in outer.iter().rev().enumerate() {
            if dim != 1 {
                if dim != expected[2 - back] {
                    return Err(misfit());
                }
                steps[2 - back] = step;
            }
            step *= dim;
        }
        Ok(Mask { values: added(mask, call)?, steps, len, is_single })
    }

    /// Adds the summands to the scores of a query. Returns whether no key is visible.
    fn add(&self, batch: usize, head: usize, query: usize, seen: Range<usize>, scores: &mut [R]) -> bool {
        let coordinates = [batch, head, query];
        let first: usize = coordinates.iter().zip(self.steps).map(|(at, step)| at * step).sum();
        let values = &self.values[first..first + self.len];
        let end = if self.is_single { seen.end } else { seen.end.min(self.len) };
        let seen = seen.start.min(end)..end;
        hide(&seen, scores);
        let scores = &mut scores[seen.clone()];
        if self.is_single {
            scores.iter_mut().for_each(|score| *score += values[0]);
            return seen.is_empty() || values[0] == R::LOWEST;
        }
        let values = &values[seen];
        scores.iter_mut().zip(values).for_each(|(score, &value)| *score += value);
        values.iter().all(|value| *value == R::LOWEST)
    }
}

/// Adds minus infinity to the scores of hidden keys. NaN stays NaN.
fn hide<R: Score>(seen: &Range<usize>, scores: &mut [R]) {
    let (before, rest) = scores.split_at_mut(seen.start);
    let after = &mut rest[seen.len()..];
    before.iter_mut().chain(after).for_each(|score| *score += R::LOWEST);
}

/// The summands of a mask; true and false become zero and minus infinity.
fn added<'a, R: Score>(mask: &'a Tensor, call: &Call<'_, '_>) -> Result<Cow<'a, [R]>> {
    if mask.dtype() == R::DTYPE {
        return Ok(Cow::Borrowed(mask.values()?));
    }
    call.reserve::<R>(mask.shape())?;
    if mask.dtype() == DType::Bool {
        let added = |&seen: &bool| if seen { R::ZERO } else { R::LOWEST };
        return Ok(mask.values::<bool>()?.iter().map(added).collect());
    }
    let mask = widened(mask, call)?;
    with_widened!(mask.dtype(), T => Ok(mask.values::<T>()?.iter().map(|x| R::from_f64(x.to_f64())).collect()))
}
