//! The steps of a chain on one block, in buffers that are used again once their results have no further use.

use super::repeated::{Filled, Repeated};
use super::{Source, Step};
use crate::elementwise::{Binary, Operand as Slice};
use crate::loops::LoopKernel;
use std::cell::Cell;

thread_local! {
    /// Buffers without uses: a chain of few elements takes less time than their allocation.
    static UNUSED: Cell<Vec<Vec<f32>>> = const { Cell::new(vec![]) };
}

/// The buffers for the blocks of one thread.
pub(super) struct Blocks<'a> {
    kernel: LoopKernel,
    operands: &'a [Option<Repeated<'a>>],
    steps: &'a [Step],
    filled: Vec<Filled>,
    buffers: Vec<Vec<f32>>,
    /// The buffer of each step but the last one.
    homes: Vec<usize>,
    /// The results of the last step, if they are quantized.
    results: Vec<f32>,
}

impl<'a> Blocks<'a> {
    /// For blocks of at most `len` elements.
    pub(super) fn new(
        kernel: LoopKernel,
        operands: &'a [Option<Repeated<'a>>],
        steps: &'a [Step],
        len: usize,
    ) -> Blocks<'a> {
        let homes = homes(steps);
        let n_buffers = homes.iter().max().map_or(0, |home| home + 1);
        let buffers = (0..n_buffers).map(|_| buffer(len)).collect();
        let filled = operands.iter().map(|operand| match operand {
            Some(operand) if operand.needs_buffer(len) => Filled::of(buffer(len)),
            _ => Filled::default(),
        });
        let filled = filled.collect();
        Blocks { kernel, operands, steps, filled, buffers, homes, results: vec![] }
    }

    /// The results from `start` on.
    pub(super) fn compute(&mut self, start: usize, output: &mut [f32]) {
        for (operand, filled) in self.operands.iter().zip(&mut self.filled) {
            if let Some(operand) = operand {
                operand.prepare(self.kernel, start, output.len(), filled);
            }
        }
        let len = output.len();
        let (last, steps) = self.steps.split_last().expect("a chain has a step");
        for (step, home) in steps.iter().zip(&self.homes) {
            let mut buffer = std::mem::take(&mut self.buffers[*home]);
            self.step(*step, start, &mut buffer[..len]);
            self.buffers[*home] = buffer;
        }
        self.step(*last, start, output);
    }

    /// The results from `start` on, in a buffer.
    pub(super) fn compute_in_buffer(&mut self, start: usize, len: usize) -> &[f32] {
        let mut results = std::mem::take(&mut self.results);
        if results.len() < len {
            results = buffer(len);
        }
        self.compute(start, &mut results[..len]);
        self.results = results;
        &self.results[..len]
    }

    fn step(&self, step: Step, start: usize, output: &mut [f32]) {
        let len = output.len();
        let view = |source: Source| match source {
            Source::Operand(idx) => match &self.operands[idx] {
                Some(operand) => operand.view(start, len, &self.filled[idx]),
                None => unreachable!("the operands of steps are used"),
            },
            Source::Step(idx) => Slice::Slice(&self.buffers[self.homes[idx]][..len]),
        };
        let kernel = self.kernel;
        match step {
            Step::Unary(function, source) => match view(source) {
                Slice::Slice(x) => kernel.unary(function, x, output),
                Slice::Scalar(x) => {
                    output.fill(x);
                    kernel.unary_in_place(function, output);
                }
            },
            Step::Binary(operation, a, b) => kernel.binary(operation, view(a), view(b), output),
            Step::Power(source, exponent) => {
                let x = view(source);
                if exponent == 2.0 || exponent == 3.0 {
                    kernel.binary(Binary::Mul, x, x, output);
                    if exponent == 3.0 {
                        kernel.binary_in_place(Binary::Mul, output, x);
                    }
                    return;
                }
                match x {
                    Slice::Slice(x) => output.iter_mut().zip(x).for_each(|(y, x)| *y = x.powf(exponent)),
                    Slice::Scalar(x) => output.fill(x.powf(exponent)),
                }
            }
        }
    }
}

impl Drop for Blocks<'_> {
    fn drop(&mut self) {
        let mut unused = UNUSED.take();
        unused.append(&mut self.buffers);
        unused.push(std::mem::take(&mut self.results));
        unused.extend(self.filled.iter_mut().map(Filled::take));
        // Those of a chain that needed none are empty.
        unused.retain(|buffer| !buffer.is_empty());
        UNUSED.set(unused);
    }
}

/// A buffer of at least `len` elements with unspecified values.
fn buffer(len: usize) -> Vec<f32> {
    let mut unused = UNUSED.take();
    let mut buffer = unused.pop().unwrap_or_default();
    UNUSED.set(unused);
    buffer.resize(buffer.len().max(len), 0.0);
    buffer
}

/// A buffer for each step but the last one, which none of its sources has.
fn homes(steps: &[Step]) -> Vec<usize> {
    let mut last_uses = vec![0; steps.len()];
    for (idx, step) in steps.iter().enumerate() {
        used(step).for_each(|source| last_uses[source] = idx);
    }
    let (mut homes, mut free, mut n_buffers) = (Vec::with_capacity(steps.len()), Vec::new(), 0);
    for (idx, step) in steps[..steps.len() - 1].iter().enumerate() {
        homes.push(free.pop().unwrap_or_else(|| {
            n_buffers += 1;
            n_buffers - 1
        }));
        // A source that is used twice is freed once.
        let mut freed: Vec<usize> = used(step).filter(|&source| last_uses[source] == idx).collect();
        freed.dedup();
        free.extend(freed.into_iter().map(|source| homes[source]));
    }
    homes
}

fn used(step: &Step) -> impl Iterator<Item = usize> {
    step.sources().into_iter().flatten().filter_map(|source| match source {
        Source::Step(idx) => Some(idx),
        Source::Operand(_) => None,
    })
}
