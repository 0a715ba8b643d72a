//! The sequences of a recurrent layer: the positions of their rows, and the order of processing.

use crate::call::Call;
use crate::indices::integers;
use crate::number::Number;
use intact8_ir::{Error, Result, Tensor};
use std::borrow::Cow;

/// The sizes of a layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) len: usize,
    pub(super) batch: usize,
    pub(super) input: usize,
    pub(super) hidden: usize,
    pub(super) n_directions: usize,
    is_batch_first: bool,
}

impl Sizes {
    pub(super) fn of(
        x: &[usize],
        input: usize,
        hidden: usize,
        n_directions: usize,
        is_batch_first: bool,
    ) -> Result<Sizes> {
        let &[first, second, width] = x else {
            return Err(Error::invalid_data(format!("sequences have three dimensions, found {x:?}")));
        };
        if width != input {
            return Err(Error::invalid_data(format!(
                "the weights have {input} inputs, but the sequences have {width}"
            )));
        }
        let (len, batch) = if is_batch_first { (second, first) } else { (first, second) };
        Ok(Sizes { len, batch, input, hidden, n_directions, is_batch_first })
    }

    pub(super) fn y_shape(&self) -> [usize; 4] {
        let Sizes { len, batch, hidden, n_directions, .. } = *self;
        match self.is_batch_first {
            true => [batch, len, n_directions, hidden],
            false => [len, n_directions, batch, hidden],
        }
    }

    pub(super) fn state_shape(&self) -> [usize; 3] {
        let Sizes { batch, hidden, n_directions, .. } = *self;
        if self.is_batch_first { [batch, n_directions, hidden] } else { [n_directions, batch, hidden] }
    }

    /// The length of every sequence; the whole length if the operand is absent.
    pub(super) fn lengths(&self, operand: Option<&Tensor>) -> Result<Vec<usize>> {
        let Some(operand) = operand else { return Ok(vec![self.len; self.batch]) };
        if operand.shape() != [self.batch] {
            let (found, batch) = (operand.shape(), self.batch);
            return Err(Error::invalid_data(format!(
                "the lengths of {batch} sequences have the shape {found:?}"
            )));
        }
        let fitting = |&length: &i64| usize::try_from(length).ok().filter(|&length| length <= self.len);
        let wrong = |length| {
            Error::invalid_data(format!("a sequence of {length} steps exceeds the length {}", self.len))
        };
        integers(operand)?.iter().map(|length| fitting(length).ok_or_else(|| wrong(length))).collect()
    }

    /// The rows of a direction's state, in the order of sequences.
    pub(super) fn state_of<R: Number>(&self, direction: usize, all: &[R]) -> Vec<R> {
        (0..self.batch).flat_map(|one| self.state_row(direction, one).map(|at| all[at])).collect()
    }

    /// The inverse operation.
    pub(super) fn put_state<R: Number>(&self, direction: usize, state: &[R], all: &mut [R]) {
        for (one, row) in state.chunks_exact(self.hidden).enumerate() {
            all[self.state_row(direction, one)].copy_from_slice(row);
        }
    }

    fn state_row(&self, direction: usize, one: usize) -> std::ops::Range<usize> {
        let row = if self.is_batch_first {
            one * self.n_directions + direction
        } else {
            direction * self.batch + one
        };
        row * self.hidden..(row + 1) * self.hidden
    }
}

/// The sequences themselves.
pub(super) struct Sequences<'a, R> {
    pub(super) x: &'a [R],
    pub(super) sizes: Sizes,
    pub(super) lengths: Vec<usize>,
}

impl<R: Number> Sequences<'_, R> {
    /// The inputs in the order of a direction: step by step, sequence by sequence. Inputs after the end of a sequence
    /// are unspecified.
    pub(super) fn in_steps(
        &self,
        is_reverse: bool,
        n_steps: usize,
        call: &Call<'_, '_>,
    ) -> Result<Cow<'_, [R]>> {
        let Sizes { batch, input, len, .. } = self.sizes;
        if !is_reverse && !self.sizes.is_batch_first {
            return Ok(Cow::Borrowed(&self.x[..n_steps * batch * input]));
        }
        call.reserve::<R>(&[n_steps, batch, input])?;
        let mut ordered = Vec::with_capacity(n_steps * batch * input);
        for step in 0..n_steps {
            for one in 0..batch {
                let time = self.time(is_reverse, step, one).unwrap_or(step);
                let row = if self.sizes.is_batch_first { one * len + time } else { time * batch + one };
                ordered.extend_from_slice(&self.x[row * input..][..input]);
            }
        }
        Ok(Cow::Owned(ordered))
    }

    /// Writes the outputs of a step to their positions, except for sequences that have ended.
    pub(super) fn write(&self, direction: usize, is_reverse: bool, step: usize, output: &[R], y: &mut [R]) {
        let Sizes { len, batch, hidden, n_directions, is_batch_first, .. } = self.sizes;
        for (one, output) in output.chunks_exact(hidden).enumerate() {
            let Some(time) = self.time(is_reverse, step, one) else { continue };
            let row = match is_batch_first {
                true => (one * len + time) * n_directions + direction,
                false => (time * n_directions + direction) * batch + one,
            };
            y[row * hidden..][..hidden].copy_from_slice(output);
        }
    }

    /// The position of a direction in a sequence at a step.
    fn time(&self, is_reverse: bool, step: usize, one: usize) -> Option<usize> {
        let left = self.lengths[one].checked_sub(step + 1)?;
        Some(if is_reverse { left } else { step })
    }
}
