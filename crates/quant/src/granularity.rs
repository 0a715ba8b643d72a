//! Quantization granularity: the scale of each element of a weight, per tensor, per output channel, or per block of input
//! channels.
//!
//! It maps elements to scales; the formulas that use them are in `params.rs`.

use crate::axis::Axis;
use crate::layer::Weight;
use crate::params::QuantParams;

/// The granularity of the scales of a row-major tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Granularity {
    /// Per tensor.
    One,
    /// Per index of a dimension.
    Channels(Axis),
    /// The scales have the dimensions of the tensor, but neighbours along one dimension share a scale.
    Blocks {
        /// The elements along that dimension.
        along: Axis,
        /// The number of elements that share a scale; the last block may be shorter.
        size: usize,
    },
}

impl Granularity {
    /// That of parameters which fit a weight of that shape.
    pub(crate) fn of(params: &QuantParams, weight: &Weight, shape: &[usize]) -> Granularity {
        match (axis(params, weight), params.block_size) {
            (None, _) => Granularity::One,
            (Some(axis), None) => Granularity::Channels(Axis::of(shape, axis)),
            (Some(axis), Some(size)) => Granularity::Blocks { along: Axis::of(shape, axis), size },
        }
    }

    /// The index of the scale of an element.
    pub(crate) fn scale_of(&self, element: usize) -> usize {
        match self {
            Granularity::One => 0,
            Granularity::Channels(channels) => channels.index_of(element),
            Granularity::Blocks { along, size } => {
                let (outer, inner) = (element / (along.inner * along.len), element % along.inner);
                let block = along.index_of(element) / size;
                (outer * along.len.div_ceil(*size) + block) * along.inner + inner
            }
        }
    }
}

/// The dimension of a weight along which scales change; `None` if there is one for all. Blocks lie along the channels
/// that are summed over.
pub(crate) fn axis(params: &QuantParams, weight: &Weight) -> Option<usize> {
    match params.block_size {
        Some(_) => weight.input.map(|input| input.weight),
        None => (params.scale.len() > 1).then_some(weight.axis),
    }
}

/// The shape of the scales of a weight, as QuantizeLinear requires it.
pub(crate) fn scale_shape(params: &QuantParams, weight: &Weight, shape: &[usize]) -> Vec<usize> {
    match (axis(params, weight), params.block_size) {
        (None, _) => vec![],
        (Some(axis), None) => vec![shape[axis]],
        (Some(axis), Some(size)) => blocked(shape, axis, size),
    }
}

/// The shape of the scales of a tensor in blocks of `size`, at least 1, along a dimension.
pub(crate) fn blocked(shape: &[usize], axis: usize, size: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    shape[axis] = shape[axis].div_ceil(size);
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scales(shape: &[usize], axis: usize, size: usize) -> Vec<usize> {
        let blocks = Granularity::Blocks { along: Axis::of(shape, axis), size };
        (0..shape.iter().product()).map(|element| blocks.scale_of(element)).collect()
    }

    #[test]
    fn neighbours_along_the_dimension_share_a_scale() {
        // Three rows in blocks of two, the second of which is short: two rows of scales.
        assert_eq!(scales(&[3, 2], 0, 2), [0, 1, 0, 1, 2, 3]);
        assert_eq!(scales(&[2, 3], 1, 2), [0, 0, 1, 2, 2, 3]);
        // Two outputs, three inputs, two taps: each tap has its own.
        assert_eq!(scales(&[2, 3, 2], 1, 2), [0, 1, 0, 1, 2, 3, 4, 5, 4, 5, 6, 7]);
        assert_eq!(blocked(&[2, 3, 2], 1, 2), [2, 2, 2]);
    }

    #[test]
    fn a_block_of_everything_is_a_channel() {
        let (shape, channels) = ([4, 3], Granularity::Channels(Axis::of(&[4, 3], 1)));
        let expected: Vec<usize> = (0..12).map(|element| channels.scale_of(element)).collect();
        assert_eq!(scales(&shape, 0, 4), expected);
        assert_eq!(scales(&shape, 0, 100), expected);
        assert_eq!(scales(&shape, 0, 1), (0..12).collect::<Vec<_>>());
    }
}
