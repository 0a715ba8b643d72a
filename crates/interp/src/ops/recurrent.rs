//! Recurrent layers: LSTM, GRU and RNN, in one direction or both.
//!
//! The inputs of all steps are multiplied by their weights in one product. The rest of a step is in the file of its
//! cell.

mod activation;
mod gru;
mod lstm;
mod rnn;
mod sequences;

use crate::call::Call;
use crate::data::Data;
use crate::number::{FLOATS, Number};
use crate::op::{CompileContext, Kernel, OpRow, Outputs};
use crate::real::{expect_type, numbers, rounded, with_real};
use activation::{Activation, Gate};
use gru::Gru;
use intact8_ir::{Error, Result, Tensor};
use intact8_kernels::matrix::{Matrix, MatrixMut};
use lstm::Lstm;
use rnn::Rnn;
use sequences::{Sequences, Sizes};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::since(7, "GRU", FLOATS, layer::<Gru>),
    OpRow::since(7, "LSTM", FLOATS, layer::<Lstm>),
    OpRow::since(7, "RNN", FLOATS, layer::<Rnn>),
];

/// The computation of a step from its gates.
trait Cell: Sized + Send + Sync + 'static {
    /// The numbers of gates in each group; the recurrence weights of a group are multiplied together.
    const GATES: &'static [usize];
    /// The default functions.
    const ACTIVATIONS: &'static [Activation];
    /// Whether the cell has a state in addition to the output.
    const HAS_CELL_STATE: bool;

    fn read(ctx: &CompileContext<'_>) -> Result<Self>;

    /// The first gate whose recurrence bias is added by the cell.
    fn own_bias(&self) -> usize {
        n_gates::<Self>()
    }

    /// Replaces the state of every sequence by the next one. The gates, in one row for each sequence, contain the
    /// products with the input and the biases.
    fn step<R: Gate>(&self, direction: &Direction<'_, R>, gates: &mut [R], state: &mut State<R>);
}

fn n_gates<C: Cell>() -> usize {
    C::GATES.iter().sum()
}

/// The weights and functions of one direction.
struct Direction<'a, R: Gate> {
    hidden: usize,
    /// Transposed and packed, by group of gates.
    recurrent: &'a [R::Packed],
    /// The recurrence biases that the cell adds.
    bias: &'a [R],
    /// The peephole weights, if there are any.
    peepholes: Option<&'a [R]>,
    activations: &'a [Activation],
    clip: Option<R>,
}

/// The state between steps, with a row for each sequence.
#[derive(Clone)]
struct State<R> {
    output: Vec<R>,
    /// The cell state; empty if the cell has none.
    cell: Vec<R>,
}

impl<R: Gate> Direction<'_, R> {
    /// Clips the numbers and applies a function.
    fn activate(&self, function: usize, values: &mut [R]) {
        if let Some(limit) = self.clip {
            let low = R::ZERO - limit;
            for x in values.iter_mut() {
                *x = if *x > limit {
                    limit
                } else if *x < low {
                    low
                } else {
                    *x
                };
            }
        }
        R::activate(self.activations[function], values);
    }

    /// Adds the product of rows of `hidden` numbers and a group of recurrence weights to columns of the gates.
    fn add_recurrent(&self, rows: &[R], group: usize, gates: &mut [R], columns: usize, width: usize) {
        let n_rows = rows.len() / self.hidden;
        let gates = MatrixMut { data: gates, rows: n_rows, columns, row_stride: width };
        let rows = Matrix::row_major(rows, n_rows, self.hidden);
        R::multiply_packed(rows, &self.recurrent[group], true, gates);
    }
}

/// A layer with its attributes.
struct Layer<C> {
    cell: C,
    /// Whether each direction is reverse.
    directions: &'static [bool],
    activations: Vec<Vec<Activation>>,
    clip: Option<f32>,
    hidden: Option<i64>,
    /// Whether the batch is the first dimension.
    is_batch_first: bool,
}

/// The weights of one direction, packed.
struct Weights<R: Gate> {
    input: R::Packed,
    recurrent: Vec<R::Packed>,
}

/// Constant weights are packed once.
fn layer<C: Cell>(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let layer = Layer::<C>::read(ctx)?;
    let (Some(w), Some(r)) = (ctx.constant(1), ctx.constant(2)) else {
        return Ok(Box::new(
            move |call| with_real!(call.tensor(0)?.dtype(), R => layer.run::<R>(call, None)),
        ));
    };
    with_real!(w.dtype(), R => {
        let weights = layer.pack::<R>(w, r)?;
        Ok(Box::new(move |call| layer.run::<R>(call, Some(&weights))))
    })
}

impl<C: Cell> Layer<C> {
    fn read(ctx: &CompileContext<'_>) -> Result<Layer<C>> {
        let directions: &[bool] = match ctx.str("direction", "forward")? {
            "forward" => &[false],
            "reverse" => &[true],
            "bidirectional" => &[false, true],
            other => {
                return Err(Error::invalid_model(format!("direction {other:?} is not defined by ONNX")));
            }
        };
        Ok(Layer {
            cell: C::read(ctx)?,
            directions,
            activations: Activation::read(ctx, C::ACTIVATIONS, directions.len())?,
            clip: ctx.op.float("clip")?.filter(|&clip| clip > 0.0),
            hidden: ctx.op.int("hidden_size")?,
            is_batch_first: ctx.flag("layout", false)?,
        })
    }

    /// The number of inputs and of hidden units.
    fn widths(&self, w: &Tensor, r: &Tensor) -> Result<(usize, usize)> {
        let (n_directions, n_gates) = (self.directions.len(), n_gates::<C>());
        let (&[.., input], &[.., hidden]) = (w.shape(), r.shape()) else {
            return Err(Error::invalid_data("the weights must have three dimensions"));
        };
        let rows = hidden.saturating_mul(n_gates);
        expect_shape("W", w, &[n_directions, rows, input])?;
        expect_shape("R", r, &[n_directions, rows, hidden])?;
        match self.hidden {
            Some(expected) if usize::try_from(expected) != Ok(hidden) => {
                Err(Error::invalid_data(format!("hidden_size is {expected}, but the weights have {hidden}")))
            }
            _ => Ok((input, hidden)),
        }
    }

    fn pack<R: Gate>(&self, w: &Tensor, r: &Tensor) -> Result<Vec<Weights<R>>> {
        let (input, hidden) = self.widths(w, r)?;
        let rows = n_gates::<C>() * hidden;
        let (w_values, r_values) = (numbers::<R>(w, w.dtype())?, numbers::<R>(r, w.dtype())?);
        let packed = (0..self.directions.len()).map(|direction| {
            let mut r_values = &r_values[direction * rows * hidden..][..rows * hidden];
            let recurrent = C::GATES.iter().map(|&n_gates| {
                let (group, rest) = r_values.split_at(n_gates * hidden * hidden);
                r_values = rest;
                R::pack(Matrix::row_major(group, n_gates * hidden, hidden).transposed())
            });
            let recurrent = recurrent.collect();
            let w_values = &w_values[direction * rows * input..][..rows * input];
            Weights { input: R::pack(Matrix::row_major(w_values, rows, input).transposed()), recurrent }
        });
        Ok(packed.collect())
    }

    fn run<R: Gate>(&self, call: &Call<'_, '_>, packed: Option<&[Weights<R>]>) -> Result<Outputs> {
        let (x, w, r) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
        let dtype = x.dtype();
        expect_type(w, dtype)?;
        let (input, hidden) = self.widths(w, r)?;
        let sizes = Sizes::of(x.shape(), input, hidden, self.directions.len(), self.is_batch_first)?;
        let lengths = sizes.lengths(call.optional(4)?)?;
        let mut outputs = Made { y: call.zeros::<R>(&sizes.y_shape())?, last: vec![] };
        let initial = if C::HAS_CELL_STATE { 2 } else { 1 };
        for slot in 0..initial {
            let state = match call.optional(5 + slot)? {
                Some(state) => {
                    expect_shape("an initial state", state, &sizes.state_shape())?;
                    numbers::<R>(state, dtype)?.into_owned()
                }
                None => call.zeros::<R>(&sizes.state_shape())?,
            };
            outputs.last.push(state);
        }
        if !outputs.last[0].is_empty() {
            let fresh;
            let weights = match packed {
                Some(weights) => weights,
                None => {
                    fresh = self.pack::<R>(w, r)?;
                    &fresh
                }
            };
            let sequences = Sequences { x: &numbers::<R>(x, dtype)?, sizes, lengths };
            for (direction, weights) in weights.iter().enumerate() {
                self.run_direction(call, direction, weights, &sequences, &mut outputs)?;
            }
        }
        let mut made = Outputs::new();
        made.push(Data::Tensor(rounded(dtype, &sizes.y_shape(), outputs.y)?));
        for state in outputs.last {
            made.push(Data::Tensor(rounded(dtype, &sizes.state_shape(), state)?));
        }
        Ok(made)
    }

    fn run_direction<R: Gate>(
        &self,
        call: &Call<'_, '_>,
        direction: usize,
        weights: &Weights<R>,
        sequences: &Sequences<'_, R>,
        outputs: &mut Made<R>,
    ) -> Result<()> {
        let Sizes { batch, hidden, input, n_directions, .. } = sequences.sizes;
        let (n_gates, is_reverse) = (n_gates::<C>(), self.directions[direction]);
        let width = n_gates * hidden;
        let n_steps = sequences.lengths.iter().copied().max().unwrap_or(0);
        let biases = self.operand::<R>(call, 3, &[n_directions, 2 * width])?;
        let biases = biases.as_deref().map(|all| all[direction * 2 * width..][..2 * width].split_at(width));
        let own_bias = self.cell.own_bias() * hidden;
        let mut gates = call.zeros::<R>(&[n_steps, batch, width])?;
        if let Some((of_input, of_output)) = biases {
            let mut sums = of_input.to_vec();
            sums.iter_mut().zip(&of_output[..own_bias]).for_each(|(sum, &bias)| *sum += bias);
            gates.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(&sums));
        }
        let x = sequences.in_steps(is_reverse, n_steps, call)?;
        let rows = n_steps * batch;
        R::multiply_packed(
            Matrix::row_major(&x, rows, input),
            &weights.input,
            true,
            MatrixMut::row_major(&mut gates, rows, width),
        );
        let peepholes = match C::HAS_CELL_STATE {
            true => self.operand::<R>(call, 7, &[n_directions, 3 * hidden])?,
            false => None,
        };
        let known = Direction {
            hidden,
            recurrent: &weights.recurrent,
            bias: biases.map_or(&[], |(_, of_output)| &of_output[own_bias..]),
            peepholes: peepholes.as_deref().map(|all| &all[direction * 3 * hidden..][..3 * hidden]),
            activations: &self.activations[direction],
            clip: self.clip.map(R::from_f32),
        };
        let mut state = State { output: sequences.sizes.state_of(direction, &outputs.last[0]), cell: vec![] };
        if let Some(cell) = outputs.last.get(1) {
            state.cell = sequences.sizes.state_of(direction, cell);
        }
        for (step, gates) in gates.chunks_exact_mut(batch * width).enumerate() {
            call.context.step()?;
            let ended: Vec<usize> = (0..batch).filter(|&one| sequences.lengths[one] <= step).collect();
            let before = (!ended.is_empty()).then(|| state.clone());
            self.cell.step(&known, gates, &mut state);
            if let Some(before) = before {
                state.keep(&before, &ended, hidden);
            }
            sequences.write(direction, is_reverse, step, &state.output, &mut outputs.y);
        }
        // ONNX does not define the state of a sequence without steps; as in ONNX Runtime it is zero.
        if sequences.sizes.len > 0 {
            let without = (0..batch).filter(|&one| sequences.lengths[one] == 0);
            without.for_each(|one| state.clear(one, hidden));
        }
        sequences.sizes.put_state(direction, &state.output, &mut outputs.last[0]);
        if let Some(cell) = outputs.last.get_mut(1) {
            sequences.sizes.put_state(direction, &state.cell, cell);
        }
        Ok(())
    }

    /// An optional operand with the shape.
    fn operand<'c, R: Gate>(
        &self,
        call: &'c Call<'_, '_>,
        slot: usize,
        shape: &[usize],
    ) -> Result<Option<std::borrow::Cow<'c, [R]>>> {
        let Some(tensor) = call.optional(slot)? else { return Ok(None) };
        expect_shape(if slot == 3 { "B" } else { "P" }, tensor, shape)?;
        numbers(tensor, call.tensor(0)?.dtype()).map(Some)
    }
}

/// The outputs.
struct Made<R> {
    y: Vec<R>,
    /// The states, first the initial and finally the last ones.
    last: Vec<Vec<R>>,
}

impl<R: Number> State<R> {
    /// Resets the state of a sequence.
    fn clear(&mut self, one: usize, hidden: usize) {
        for rows in [&mut self.output, &mut self.cell].into_iter().filter(|rows| !rows.is_empty()) {
            rows[one * hidden..][..hidden].fill(R::ZERO);
        }
    }

    /// Restores the previous state of some of the sequences.
    fn keep(&mut self, before: &State<R>, which: &[usize], hidden: usize) {
        let restore = |now: &mut [R], before: &[R], one: usize| {
            now[one * hidden..][..hidden].copy_from_slice(&before[one * hidden..][..hidden]);
        };
        for &one in which {
            restore(&mut self.output, &before.output, one);
            if !self.cell.is_empty() {
                restore(&mut self.cell, &before.cell, one);
            }
        }
    }
}

fn expect_shape(what: &str, tensor: &Tensor, shape: &[usize]) -> Result<()> {
    if tensor.shape() == shape {
        return Ok(());
    }
    Err(Error::invalid_data(format!("{what} must have the shape {shape:?}, found {:?}", tensor.shape())))
}
