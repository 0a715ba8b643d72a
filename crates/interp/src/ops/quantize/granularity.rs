//! Quantization granularity: per-tensor, per-axis, or per-block.

use crate::axes::{Along, axis};
use crate::op::CompileContext;
use intact8_ir::{Error, Result, Tensor};
use std::ops::Range;

/// The attributes.
pub(super) struct Granularity {
    axis: i64,
    /// The number of steps along the axis that share a scale, if the scale has the rank of the tensor.
    block: Option<usize>,
}

/// The quantization granularity of a tensor.
#[derive(Debug)]
pub(super) enum Runs {
    /// Per tensor; the number of its elements.
    One(usize),
    /// One scale for each step of an axis.
    ByStep(Along),
    /// One scale for each element, except that the steps of a block along an axis share it.
    ByBlock(Along, usize),
}

impl Granularity {
    /// Reads `axis` and `block_size`.
    pub(super) fn read(ctx: &CompileContext<'_>) -> Result<Granularity> {
        let block = ctx.int("block_size", 0)?;
        let size = usize::try_from(block)
            .map_err(|_| Error::invalid_model(format!("block_size must not be negative, found {block}")))?;
        Ok(Granularity { axis: ctx.int("axis", 1)?, block: Some(size).filter(|&size| size > 0) })
    }

    /// The granularity; an error if the scales do not match the tensor, or the zero points do not match the scales.
    pub(super) fn runs(&self, x: &Tensor, scale: &Tensor, zeros: Option<&Tensor>) -> Result<Runs> {
        let (shape, own) = (x.shape(), scale.shape());
        if let Some(zeros) = zeros
            && (zeros.len() != scale.len() || zeros.shape().len().max(1) != own.len().max(1))
        {
            let message = format!("zero points of shape {:?} do not match scales of {own:?}", zeros.shape());
            return Err(Error::invalid_data(message));
        }
        if own.is_empty() || own == [1] {
            return Ok(Runs::One(x.len()));
        }
        let misfit =
            || Error::invalid_data(format!("scales of shape {own:?} do not match the shape {shape:?}"));
        let axis = axis(self.axis, shape.len())?;
        let along = Along::of(shape, axis);
        match self.block {
            None if *own == [along.len] => Ok(Runs::ByStep(along)),
            Some(block) => {
                let mut expected = shape.to_vec();
                expected[axis] = expected[axis].div_ceil(block);
                if own == expected { Ok(Runs::ByBlock(along, block)) } else { Err(misfit()) }
            }
            None => Err(misfit()),
        }
    }
}

impl Runs {
    /// Calls `run` for ranges of the elements in order, with the index of the scale of the first, and the step to the
    /// scale of the next, 0 or 1.
    pub(super) fn for_each(&self, mut run: impl FnMut(Range<usize>, usize, usize)) {
        match *self {
            Runs::One(n) => run(0..n, 0, 0),
            Runs::ByStep(Along { outer, len, inner: 1 }) => {
                (0..outer).for_each(|idx| run(idx * len..(idx + 1) * len, 0, 1));
            }
            Runs::ByStep(Along { outer, len, inner }) => {
                (0..outer * len).for_each(|idx| run(idx * inner..(idx + 1) * inner, idx % len, 0));
            }
            Runs::ByBlock(Along { outer, len, inner }, block) => {
                let n_blocks = len.div_ceil(block);
                for (outer, step) in (0..outer).flat_map(|outer| (0..n_blocks).map(move |step| (outer, step)))
                {
                    let at = (outer * n_blocks + step) * inner;
                    let steps = outer * len + step * block..outer * len + len.min((step + 1) * block);
                    if inner == 1 {
                        run(steps, at, 0);
                    } else {
                        steps.for_each(|idx| run(idx * inner..(idx + 1) * inner, at, 1));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scale of each element.
    fn scales(axis: i64, block: Option<usize>, shape: &[usize], own: &[usize]) -> Vec<usize> {
        let tensor = |shape: &[usize]| Tensor::full(shape, 0u8);
        let runs = Granularity { axis, block }.runs(&tensor(shape), &tensor(own), None).unwrap();
        let mut scales = vec![];
        runs.for_each(|range, at, step| {
            assert_eq!(range.start, scales.len());
            scales.extend((0..range.len()).map(|idx| at + idx * step));
        });
        scales
    }

    #[test]
    fn each_element_has_the_scale_of_its_granularity() {
        assert_eq!(scales(1, None, &[2, 2], &[]), [0; 4]);
        assert_eq!(scales(0, None, &[2, 2], &[2]), [0, 0, 1, 1]);
        assert_eq!(scales(-1, None, &[2, 2], &[2]), [0, 1, 0, 1]);
        assert_eq!(scales(1, None, &[2, 2, 2], &[2]), [0, 0, 1, 1, 0, 0, 1, 1]);
        assert_eq!(scales(1, Some(2), &[2, 3], &[2, 2]), [0, 0, 1, 2, 2, 3]);
        assert_eq!(scales(0, Some(2), &[3, 2], &[2, 2]), [0, 1, 0, 1, 2, 3]);
        assert_eq!(scales(1, None, &[2, 0], &[0]), []);
    }
}
