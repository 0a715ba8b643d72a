//! The RNN cell: the output is a function of the gate.

use super::activation::{Activation, Gate};
use super::{Cell, Direction, State};
use crate::op::CompileContext;
use intact8_ir::Result;

pub(super) struct Rnn;

impl Cell for Rnn {
    const GATES: &'static [usize] = &[1];
    const ACTIVATIONS: &'static [Activation] = &[Activation::TANH];
    const HAS_CELL_STATE: bool = false;

    fn read(_site: &CompileContext<'_>) -> Result<Rnn> {
        Ok(Rnn)
    }

    fn step<R: Gate>(&self, direction: &Direction<'_, R>, gates: &mut [R], state: &mut State<R>) {
        let hidden = direction.hidden;
        direction.add_recurrent(&state.output, 0, gates, hidden, hidden);
        direction.activate(0, gates);
        state.output.copy_from_slice(gates);
    }
}
