//! Runs of batches in the parts that an executor prefers, for what does not depend on where a batch is cut.

use intact8_ir::{BatchPart, Executor, Result, Tensor, ValueRef};
use std::ops::Range;

/// A part of a batch: the positions of its samples among how many.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) samples: Range<usize>,
    pub(crate) n_samples: usize,
}

impl Part {
    /// The positions of some rows of the part among those of the batch, and the number of the latter: each sample has as many.
    pub(crate) fn rows(&self, n_rows: usize) -> (Range<usize>, usize) {
        let of_samples = |n_samples: usize| n_rows * n_samples / self.samples.len().max(1);
        let first = of_samples(self.samples.start);
        (first..first + n_rows, of_samples(self.n_samples))
    }
}

/// Runs the parts of a batch, one after the other. `tap` receives the values of each part, in the order of the parts.
///
/// # Errors
/// Those of the runs, and every error that `tap` returns.
pub(crate) fn run_parts(
    executor: &dyn Executor,
    parts: Vec<BatchPart>,
    mut tap: impl FnMut(&Part, ValueRef, &Tensor) -> Result<()>,
) -> Result<()> {
    let n_samples = parts.last().map_or(0, |part| part.samples.end);
    parts.into_iter().try_for_each(|BatchPart { samples, inputs }| {
        let part = Part { samples, n_samples };
        executor.run_tapped(&inputs, &mut |value, tensor| tap(&part, value, tensor)).map(drop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_interp::Interpreter;
    use intact8_ir::{Model, Runtime};

    /// Two samples of 3 MiB: the values of one fit into the cache.
    #[test]
    fn large_samples_run_one_by_one() {
        let model: Model =
            "model m opset 17\n%x = input : f32[N,786432]\n%y = Relu(%x)\nreturn %y\n".parse().unwrap();
        let runtime = Interpreter::default();
        let executor = runtime.compile(&model).unwrap();
        let batch = [Tensor::new(&[2, 786_432], (0..2 * 786_432).map(|idx| idx as f32 - 1e6).collect())];
        let mut found = Vec::new();
        run_parts(&*executor, executor.parts(&batch), |part, _, tensor| {
            found.push((part.rows(10), tensor.clone()));
            Ok(())
        })
        .unwrap();
        let rows: Vec<_> = found.iter().map(|(rows, _)| rows.clone()).collect();
        assert_eq!(rows, [(0..10, 20), (0..10, 20), (10..20, 20), (10..20, 20)]);
        let outputs = [found[1].1.clone(), found[3].1.clone()];
        assert_eq!(Tensor::joined(0, &outputs).unwrap(), executor.run(&batch).unwrap()[0]);
    }
}
