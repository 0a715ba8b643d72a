//! The LSTM cell, with a cell state and input, output and forget gates.

use super::activation::{Activation, Gate};
use super::{Cell, Direction, State};
use crate::op::CompileContext;
use intact8_ir::Result;

pub(super) struct Lstm {
    /// Whether input and forget gate are coupled (`input_forget`).
    input_forget: bool,
}

/// The indices of the functions.
const OF_GATES: usize = 0;
const OF_CANDIDATE: usize = 1;
const OF_CELL: usize = 2;

impl Cell for Lstm {
    const GATES: &'static [usize] = &[4];
    const ACTIVATIONS: &'static [Activation] = &[Activation::SIGMOID, Activation::TANH, Activation::TANH];
    const HAS_CELL_STATE: bool = true;

    fn read(ctx: &CompileContext<'_>) -> Result<Lstm> {
        Ok(Lstm { input_forget: ctx.flag("input_forget", false)? })
    }

    /// The gates are in the order input, output, forget, candidate.
    fn step<R: Gate>(&self, direction: &Direction<'_, R>, gates: &mut [R], state: &mut State<R>) {
        let n = direction.hidden;
        direction.add_recurrent(&state.output, 0, gates, 4 * n, 4 * n);
        let states = state.cell.chunks_exact_mut(n).zip(state.output.chunks_exact_mut(n));
        for (gates, (cell, out)) in gates.chunks_exact_mut(4 * n).zip(states) {
            let (gates, candidate) = gates.split_at_mut(3 * n);
            if let Some(weights) = direction.peepholes {
                add_product(&mut gates[..n], &weights[..n], cell);
                add_product(&mut gates[2 * n..], &weights[2 * n..], cell);
            } else {
                direction.activate(OF_GATES, gates);
            }
            let (input, gates) = gates.split_at_mut(n);
            let (output, forget) = gates.split_at_mut(n);
            if direction.peepholes.is_some() {
                direction.activate(OF_GATES, input);
                direction.activate(OF_GATES, forget);
            }
            direction.activate(OF_CANDIDATE, candidate);
            if self.input_forget {
                forget.iter_mut().zip(&*input).for_each(|(forget, &input)| *forget = R::ONE - input);
            }
            for idx in 0..n {
                cell[idx] = forget[idx] * cell[idx] + input[idx] * candidate[idx];
            }
            if let Some(weights) = direction.peepholes {
                add_product(output, &weights[n..2 * n], cell);
                direction.activate(OF_GATES, output);
            }
            // The specification of `clip` may include this input; like other runtimes, we do not clip it.
            out.copy_from_slice(cell);
            R::activate(direction.activations[OF_CELL], out);
            out.iter_mut().zip(&*output).for_each(|(out, &gate)| *out = *out * gate);
        }
    }
}

/// `sums += a · b`, element by element.
fn add_product<R: Gate>(sums: &mut [R], a: &[R], b: &[R]) {
    sums.iter_mut().zip(a).zip(b).for_each(|((sum, &a), &b)| *sum += a * b);
}
