//! Selecting blocks of equal length from a tensor.

use crate::call::Call;
use crate::room::{n_elements, reserve_text, texts};
use crate::stand_in::{movable, restored, with_movable};
use intact8_ir::{Element, Result, Tensor};

/// The positions of blocks: the same ones in each of `outer` parts of the tensor.
pub(crate) struct Blocks<'a> {
    pub(crate) outer: usize,
    /// The distance from one part to the next, in elements.
    pub(crate) outer_step: usize,
    /// The starts of the blocks in the first part.
    pub(crate) starts: &'a [usize],
    /// The number of elements of a block.
    pub(crate) len: usize,
}

impl Blocks<'_> {
    /// The blocks of `x`, which must be within it, concatenated to a tensor of `shape`.
    pub(crate) fn read(&self, x: &Tensor, shape: &[usize], call: &Call<'_, '_>) -> Result<Tensor> {
        let n = n_elements(shape)?;
        let dtype = x.dtype();
        let x = &*movable(x, call)?;
        let out = with_movable!(x.dtype(), T => {
            call.reserve::<T>(shape)?;
            let strings = texts(x);
            if !strings.is_empty() && n > 0 {
                let lengths = self.all_starts().flat_map(|at| &strings[at..at + self.len]).map(String::len);
                reserve_text(call, lengths)?;
            }
            Ok(Tensor::new(shape, if n == 0 { vec![] } else { self.collect(x.values::<T>()?, n) }))
        })?;
        restored(out, dtype)
    }

    /// The starts of the blocks in all parts.
    fn all_starts(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.outer)
            .flat_map(move |outer| self.starts.iter().map(move |start| outer * self.outer_step + start))
    }

    fn collect<T: Element>(&self, values: &[T], n: usize) -> Vec<T> {
        let mut out = Vec::with_capacity(n);
        for outer in 0..self.outer {
            let values = &values[outer * self.outer_step..];
            match self.len {
                1 => out.extend(self.starts.iter().map(|&start| values[start].clone())),
                len => self.starts.iter().for_each(|&at| out.extend_from_slice(&values[at..at + len])),
            }
        }
        out
    }
}
