//! The GRU cell, with an update gate and a reset gate.

use super::activation::{Activation, Gate};
use super::{Cell, Direction, State};
use crate::op::CompileContext;
use intact8_ir::Result;

pub(super) struct Gru {
    /// Whether the recurrence product precedes the reset gate (`linear_before_reset`).
    linear_before_reset: bool,
}

/// The groups of recurrence weights and functions: the update and reset gates, and the candidate.
const GATES: usize = 0;
const CANDIDATE: usize = 1;

impl Cell for Gru {
    const GATES: &'static [usize] = &[2, 1];
    const ACTIVATIONS: &'static [Activation] = &[Activation::SIGMOID, Activation::TANH];
    const HAS_CELL_STATE: bool = false;

    fn read(ctx: &CompileContext<'_>) -> Result<Gru> {
        Ok(Gru { linear_before_reset: ctx.flag("linear_before_reset", false)? })
    }

    fn own_bias(&self) -> usize {
        if self.linear_before_reset { 2 } else { 3 }
    }

    /// The gates are in the order update, reset, candidate.
    fn step<R: Gate>(&self, direction: &Direction<'_, R>, gates: &mut [R], state: &mut State<R>) {
        let n = direction.hidden;
        let past = &mut state.output;
        direction.add_recurrent(past, GATES, gates, 2 * n, 3 * n);
        gates.chunks_exact_mut(3 * n).for_each(|gates| direction.activate(GATES, &mut gates[..2 * n]));
        if self.linear_before_reset {
            let mut seen = vec![R::ZERO; past.len()];
            if !direction.bias.is_empty() {
                seen.chunks_exact_mut(n).for_each(|row| row.copy_from_slice(direction.bias));
            }
            direction.add_recurrent(past, CANDIDATE, &mut seen, n, n);
            for (gates, seen) in gates.chunks_exact_mut(3 * n).zip(seen.chunks_exact(n)) {
                let (gates, candidate) = gates.split_at_mut(2 * n);
                let resets = gates[n..].iter().zip(seen);
                candidate.iter_mut().zip(resets).for_each(|(sum, (&reset, &seen))| *sum += reset * seen);
            }
        } else {
            let resets = gates.chunks_exact(3 * n).flat_map(|gates| &gates[n..2 * n]);
            let seen: Vec<R> = resets.zip(&*past).map(|(&reset, &past)| reset * past).collect();
            direction.add_recurrent(&seen, CANDIDATE, &mut gates[2 * n..], n, 3 * n);
        }
        for (gates, past) in gates.chunks_exact_mut(3 * n).zip(past.chunks_exact_mut(n)) {
            let (gates, candidate) = gates.split_at_mut(2 * n);
            direction.activate(CANDIDATE, candidate);
            for ((past, &update), &candidate) in past.iter_mut().zip(&gates[..n]).zip(&*candidate) {
                *past = (R::ONE - update) * candidate + update * *past;
            }
        }
    }
}
