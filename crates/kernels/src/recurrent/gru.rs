//! The GRU cell: gates in the order update, reset, candidate.

use crate::elementwise::functions::{sigmoid, tanh};
use crate::gemm::{Init, Kernel, Left, PackedRight, Right, best};
use crate::isa::{Isa, Loops};
use crate::matrix::{Matrix, MatrixMut};
use crate::parallel;

/// The recurrence weights of a GRU in one direction.
#[derive(Debug)]
pub struct Gru {
    kernel: &'static Kernel,
    hidden: usize,
    /// Whether the product with the weights of the candidate precedes the reset gate.
    linear_before_reset: bool,
    gates: PackedRight,
    candidate: PackedRight,
}

impl Gru {
    /// Packs weights, `[3 * hidden, hidden]`, for the best kernel.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    pub fn new(hidden: usize, linear_before_reset: bool, recurrent: &[f32]) -> Gru {
        Gru::with(best(), hidden, linear_before_reset, recurrent)
    }

    /// Packs weights, `[3 * hidden, hidden]`, for a kernel of the matrix product.
    ///
    /// # Panics
    /// If there is another number of weights.
    pub fn with(kernel: &'static Kernel, hidden: usize, linear_before_reset: bool, recurrent: &[f32]) -> Gru {
        assert_eq!(recurrent.len(), 3 * hidden * hidden, "the weights are not 3 hidden times hidden");
        let (gates, candidate) = recurrent.split_at(2 * hidden * hidden);
        let pack =
            |weights, n| kernel.pack_right(Matrix::row_major(weights, n * hidden, hidden).transposed());
        Gru { kernel, hidden, linear_before_reset, gates: pack(gates, 2), candidate: pack(candidate, 1) }
    }

    /// Replaces the states of a batch, `[batch, hidden]`, by those of the next step.
    ///
    /// `gates`, `[batch, 3 * hidden]`, has the contributions of the inputs and biases, and is overwritten.
    /// `bias`, `[hidden]`, is added to the product of the state with the weights of the candidate, if that precedes the
    /// reset gate.
    /// `output = (1 - z) · tanh(c) + z · output` with `z = sigmoid` of the update gate.
    ///
    /// # Panics
    /// If the lengths of the slices do not agree, or there is a bias although the reset gate precedes the product.
    pub fn step(&self, bias: Option<&[f32]>, gates: &mut [f32], output: &mut [f32]) {
        let hidden = self.hidden;
        assert_eq!(gates.len(), 3 * output.len(), "there are not three gates for each output");
        assert!(bias.is_none() || self.linear_before_reset, "the bias of the candidate is one of its input");
        assert!(bias.is_none_or(|bias| bias.len() == hidden), "the bias is not hidden long");
        if output.is_empty() {
            return;
        }
        assert!(output.len().is_multiple_of(hidden), "the states are not rows of hidden numbers");
        let (batch, width) = (output.len() / hidden, 3 * hidden);
        let sums = MatrixMut { data: gates, rows: batch, columns: 2 * hidden, row_stride: width };
        let past = Left::Plain(Matrix::row_major(output, batch, hidden));
        self.kernel.gemm(past, Right::Packed(&self.gates), Init::Accumulate, sums);

        let mut seen = vec![0.0; output.len()];
        if self.linear_before_reset {
            let sums = MatrixMut::row_major(&mut seen, batch, hidden);
            let init = bias.map_or(Init::Zero, Init::Columns);
            self.kernel.gemm(past, Right::Packed(&self.candidate), init, sums);
        } else {
            for (seen, (gates, past)) in
                seen.chunks_exact_mut(hidden).zip(gates.chunks_exact(width).zip(output.chunks_exact(hidden)))
            {
                Isa::best().run(Reset { gate: &gates[hidden..2 * hidden], past, seen });
            }
            let past = Left::Plain(Matrix::row_major(&seen, batch, hidden));
            let data = &mut gates[2 * hidden..];
            let sums = MatrixMut { data, rows: batch, columns: hidden, row_stride: width };
            self.kernel.gemm(past, Right::Packed(&self.candidate), Init::Accumulate, sums);
        }
        let seen = self.linear_before_reset.then_some(&seen[..]);
        let rows: Vec<_> =
            gates.chunks_exact(width).zip(output.chunks_exact_mut(hidden)).enumerate().collect();
        parallel::for_each(super::COST * batch * hidden, rows, |(row, (gates, output))| {
            let seen = seen.map(|seen| &seen[row * hidden..][..hidden]);
            Isa::best().run(Row { gates, seen, output });
        });
    }
}

/// The state as the candidate sees it.
struct Reset<'a> {
    gate: &'a [f32],
    past: &'a [f32],
    seen: &'a mut [f32],
}

impl Loops for Reset<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        for ((seen, gate), past) in self.seen.iter_mut().zip(self.gate).zip(self.past) {
            *seen = sigmoid(*gate) * past;
        }
    }
}

/// One element of the batch.
struct Row<'a> {
    gates: &'a [f32],
    /// The product that the reset gate scales, if it precedes that.
    seen: Option<&'a [f32]>,
    output: &'a mut [f32],
}

impl Loops for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        let Row { gates, seen, output } = self;
        let len = output.len();
        let (update, rest) = gates.split_at(len);
        let (reset, candidate) = rest.split_at(len);
        let (reset, candidate) = (&reset[..len], &candidate[..len]);
        let mix = |update: f32, candidate: f32, past: f32| {
            let update = sigmoid(update);
            (1.0 - update) * tanh(candidate) + update * past
        };
        match seen {
            Some(seen) => {
                let seen = &seen[..len];
                for i in 0..len {
                    let candidate = candidate[i] + sigmoid(reset[i]) * seen[i];
                    output[i] = mix(update[i], candidate, output[i]);
                }
            }
            None => {
                for i in 0..len {
                    output[i] = mix(update[i], candidate[i], output[i]);
                }
            }
        }
    }
}
