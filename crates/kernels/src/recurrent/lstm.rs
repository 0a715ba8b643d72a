//! The LSTM cell: gates in the order input, output, forget, candidate.

use crate::elementwise::functions::{sigmoid, tanh};
use crate::gemm::{Init, Kernel, Left, PackedRight, Right, best};
use crate::isa::{Isa, Loops};
use crate::matrix::{Matrix, MatrixMut};
use crate::parallel;

/// The recurrence weights of an LSTM in one direction.
#[derive(Debug)]
pub struct Lstm {
    kernel: &'static Kernel,
    hidden: usize,
    recurrent: PackedRight,
}

impl Lstm {
    /// Packs weights, `[4 * hidden, hidden]`, for the best kernel.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    pub fn new(hidden: usize, recurrent: &[f32]) -> Lstm {
        Lstm::with(best(), hidden, recurrent)
    }

    /// Packs weights, `[4 * hidden, hidden]`, for a kernel of the matrix product.
    ///
    /// # Panics
    /// If there is another number of weights.
    pub fn with(kernel: &'static Kernel, hidden: usize, recurrent: &[f32]) -> Lstm {
        assert_eq!(recurrent.len(), 4 * hidden * hidden, "the weights are not 4 hidden times hidden");
        let recurrent = kernel.pack_right(Matrix::row_major(recurrent, 4 * hidden, hidden).transposed());
        Lstm { kernel, hidden, recurrent }
    }

    /// Replaces the states of a batch, cell and output `[batch, hidden]`, by those of the next step.
    ///
    /// `gates`, `[batch, 4 * hidden]`, has the contributions of the inputs and biases, and is overwritten.
    /// `peepholes`, `[3, hidden]`, are factors of the cell for the input, output and forget gate.
    /// `output = sigmoid(o) · tanh(cell)` with `cell = sigmoid(f) · cell + sigmoid(i) · tanh(c)`; the output gate sees
    /// the new cell.
    ///
    /// # Panics
    /// If the lengths of the slices do not agree.
    pub fn step(&self, peepholes: Option<&[f32]>, gates: &mut [f32], cell: &mut [f32], output: &mut [f32]) {
        let hidden = self.hidden;
        assert_eq!(cell.len(), output.len(), "cell and output differ in length");
        assert_eq!(gates.len(), 4 * output.len(), "there are not four gates for each output");
        assert!(
            peepholes.is_none_or(|weights| weights.len() == 3 * hidden),
            "the peepholes are not 3 times hidden"
        );
        if output.is_empty() {
            return;
        }
        assert!(output.len().is_multiple_of(hidden), "the states are not rows of hidden numbers");
        let batch = output.len() / hidden;
        let past = Left::Plain(Matrix::row_major(output, batch, hidden));
        let sums = MatrixMut::row_major(gates, batch, 4 * hidden);
        self.kernel.gemm(past, Right::Packed(&self.recurrent), Init::Accumulate, sums);
        let states = cell.chunks_exact_mut(hidden).zip(output.chunks_exact_mut(hidden));
        let rows: Vec<_> = gates.chunks_exact(4 * hidden).zip(states).collect();
        parallel::for_each(super::COST * batch * hidden, rows, |(gates, (cell, output))| {
            Isa::best().run(Row { peepholes, gates, cell, output });
        });
    }
}

/// One element of the batch.
struct Row<'a> {
    peepholes: Option<&'a [f32]>,
    gates: &'a [f32],
    cell: &'a mut [f32],
    output: &'a mut [f32],
}

impl Loops for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        let Row { peepholes, gates, cell, output } = self;
        let len = output.len();
        let cell = &mut cell[..len];
        let [input, out, forget, candidate] = [0, 1, 2, 3].map(|gate| &gates[gate * len..][..len]);
        match peepholes {
            None => {
                for i in 0..len {
                    let next = sigmoid(forget[i]) * cell[i] + sigmoid(input[i]) * tanh(candidate[i]);
                    cell[i] = next;
                    output[i] = tanh(next) * sigmoid(out[i]);
                }
            }
            Some(weights) => {
                let [of_input, of_out, of_forget] = [0, 1, 2].map(|gate| &weights[gate * len..][..len]);
                for i in 0..len {
                    let forget = sigmoid(forget[i] + of_forget[i] * cell[i]);
                    let input = sigmoid(input[i] + of_input[i] * cell[i]);
                    let next = forget * cell[i] + input * tanh(candidate[i]);
                    cell[i] = next;
                    output[i] = tanh(next) * sigmoid(out[i] + of_out[i] * next);
                }
            }
        }
    }
}
