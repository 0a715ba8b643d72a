//! Chains of elementwise operations: every step is computed for a block of elements that stays in the first-level cache, so that
//! intermediate results never reach memory.
//!
//! Operands broadcast to the shape of the result, aligned at their last dimensions. The bits are those of the operations of
//! [`elementwise`](crate::elementwise) and [`quantize`](crate::quantize), one after the other on whole tensors.
//! Every step is computed for every element of the result: the caller computes steps of a smaller shape before.

mod block;
mod repeated;

use crate::elementwise::{Binary, Unary};
use crate::loops::{LoopKernel, best};
use crate::parallel;
use crate::quantize::{Affine, Quantized};
use block::Blocks;
use repeated::Repeated;

/// The number of elements in a block: few enough that those of several steps fit into the first-level cache.
const BLOCK: usize = 4096;

/// Steps over operands.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    /// The shape of the result.
    pub shape: &'a [usize],
    /// The operands. Those that no step uses may have any shape.
    pub operands: &'a [Operand<'a>],
    /// The steps, each after those that it uses; the last one computes the result. At least one.
    pub steps: &'a [Step],
}

/// An operand.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// The elements.
    pub values: Values<'a>,
    /// The shape; each dimension is 1 or that of the result.
    pub shape: &'a [usize],
}

/// The elements of an operand: floats, or bytes that stand for floats. Bytes are not broadcast.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// Floats.
    F32(&'a [f32]),
    /// Signed bytes, and their dequantization.
    I8(&'a [i8], Affine),
    /// Unsigned bytes, and their dequantization.
    U8(&'a [u8], Affine),
}

/// What a step takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An operand of the chain.
    Operand(usize),
    /// The result of an earlier step.
    Step(usize),
}

/// An operation on elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// A function.
    Unary(Unary, Source),
    /// Arithmetic of two.
    Binary(Binary, Source, Source),
    /// A power with this exponent: `x · x` for 2, `x · x · x` for 3, else [`f32::powf`].
    Power(Source, f32),
}

/// The result of a chain with the best kernel; see [`LoopKernel::chain`].
pub fn chain(chain: Chain<'_>, output: &mut [f32]) {
    best().chain(chain, output);
}

/// The quantized result of a chain with the best kernel; see [`LoopKernel::chain_quantized`].
pub fn chain_quantized<T: Quantized>(chain: Chain<'_>, affine: Affine, output: &mut [T]) {
    best().chain_quantized(chain, affine, output);
}

impl LoopKernel {
    /// The result of the last step.
    ///
    /// # Panics
    /// If there is no step, a step uses a later one, or a slice does not match its shape or the shape of the result.
    pub fn chain(&self, chain: Chain<'_>, output: &mut [f32]) {
        self.run_blocks(chain, output, |blocks, start, output| blocks.compute(start, output));
    }

    /// The result of the last step, quantized.
    ///
    /// # Panics
    /// As [`chain`](Self::chain), and if the range has more than 16 bits.
    pub fn chain_quantized<T: Quantized>(&self, chain: Chain<'_>, affine: Affine, output: &mut [T]) {
        self.run_blocks(chain, output, |blocks, start, output| {
            let floats = blocks.compute_in_buffer(start, output.len());
            self.quantize(affine, floats, output);
        });
    }

    /// Calls `run` for each block of the result.
    fn run_blocks<T: Send>(
        &self,
        chain: Chain<'_>,
        output: &mut [T],
        run: impl Fn(&mut Blocks<'_>, usize, &mut [T]) + Sync,
    ) {
        chain.check(output.len());
        if output.is_empty() {
            return;
        }
        let is_used =
            |idx: usize| chain.steps.iter().any(|step| step.sources().contains(&Some(Source::Operand(idx))));
        let operands = chain.operands.iter().enumerate();
        let operands: Vec<Option<Repeated<'_>>> =
            operands.map(|(idx, operand)| is_used(idx).then(|| Repeated::of(operand, chain.shape))).collect();
        let Lengths { unit, block } = Lengths::of(&operands, output.len());
        let cost = chain.steps.iter().map(Step::cost).sum();
        parallel::for_each_rows(cost, unit, output, |range, output| {
            let mut blocks = Blocks::new(*self, &operands, chain.steps, block.min(output.len()));
            let mut start = range.start;
            for unit in output.chunks_mut(unit) {
                for part in parallel::balanced(unit.len(), block) {
                    let part = &mut unit[part];
                    run(&mut blocks, start, part);
                    start += part.len();
                }
            }
        });
    }
}

impl Chain<'_> {
    fn check(&self, len: usize) {
        assert!(!self.steps.is_empty(), "a chain has at least one step");
        assert_eq!(self.shape.iter().product::<usize>(), len, "the result has another shape than the chain");
        let is_before = |end: usize| {
            move |source: Source| match source {
                Source::Operand(idx) => idx < self.operands.len(),
                Source::Step(idx) => idx < end,
            }
        };
        for (idx, step) in self.steps.iter().enumerate() {
            assert!(step.sources().into_iter().flatten().all(is_before(idx)), "a step uses a later one");
        }
    }
}

impl Step {
    /// What it takes.
    fn sources(&self) -> [Option<Source>; 2] {
        match *self {
            Step::Unary(_, source) | Step::Power(source, _) => [Some(source), None],
            Step::Binary(_, a, b) => [Some(a), Some(b)],
        }
    }

    /// The approximate number of operations per element.
    fn cost(&self) -> usize {
        match self {
            Step::Unary(..) => 8,
            Step::Binary(..) => 2,
            Step::Power(_, exponent) if [2.0, 3.0].contains(exponent) => 4,
            Step::Power(..) => 32,
        }
    }
}

/// How the result is cut.
struct Lengths {
    /// Threads and blocks begin at multiples of it.
    unit: usize,
    /// The largest number of elements in a block.
    block: usize,
}

impl Lengths {
    /// If rows in which every operand is one slice or one number are long, blocks are parts of them. Otherwise they are several
    /// repetitions of an operand that is repeated, so that its elements are written to the buffer once.
    fn of(operands: &[Option<Repeated<'_>>], len: usize) -> Lengths {
        let row = operands.iter().flatten().map(|operand| operand.row()).min().unwrap_or(len).clamp(1, len);
        if row >= 16 * BLOCK {
            // Few blocks reach over the end of a row.
            return Lengths { unit: BLOCK, block: BLOCK };
        }
        if row >= BLOCK / 4 {
            return Lengths { unit: row, block: BLOCK };
        }
        let periods = operands.iter().flatten().map(|operand| operand.period);
        let unit = periods.filter(|&period| period <= BLOCK).max().unwrap_or(row).max(row);
        let unit = (BLOCK / unit * unit).min(len);
        Lengths { unit, block: unit }
    }
}
