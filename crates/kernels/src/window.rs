//! A window that slides over one to three spatial dimensions, for convolutions and pools.
//! Fewer dimensions are extended to three with leading ones, so that each kernel is written once.

use std::ops::Range;

use crate::error::{Error, Result};

/// Sizes along depth, height and width; missing leading dimensions are 1 (or have padding 0).
pub(crate) type Spatial = [usize; 3];

/// The positions of a window for each output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) input: Spatial,
    pub(crate) output: Spatial,
    pub(crate) kernel: Spatial,
    pub(crate) strides: Spatial,
    pub(crate) dilations: Spatial,
    pub(crate) pads_begin: Spatial,
}

impl Window {
    /// The number of positions of the input.
    pub(crate) fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    /// How many positions the output has.
    pub(crate) fn output_len(&self) -> usize {
        self.output.iter().product()
    }

    /// How many taps the window has.
    pub(crate) fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Refuses windows whose positions are not all numbers.
    pub(crate) fn check_reach(&self) -> Result<()> {
        for axis in 0..3 {
            let last = self.output[axis].saturating_sub(1).checked_mul(self.strides[axis]);
            let reach = (self.kernel[axis] - 1).checked_mul(self.dilations[axis]);
            let padded = self.input[axis].checked_add(self.pads_begin[axis]);
            let end = last.zip(reach).and_then(|(last, reach)| last.checked_add(reach));
            if end.is_none() || padded.is_none() {
                return Err(Error::new("the window reaches beyond the address space"));
            }
        }
        Ok(())
    }

    /// Where a tap reads along one axis, if not from padding.
    #[inline]
    pub(crate) fn source(&self, axis: usize, output: usize, tap: usize) -> Option<usize> {
        let padded = output * self.strides[axis] + tap * self.dilations[axis];
        padded.checked_sub(self.pads_begin[axis]).filter(|source| *source < self.input[axis])
    }

    /// The taps along an axis that do not lie on padding; `0..0` if all do.
    #[inline]
    pub(crate) fn taps_inside(&self, axis: usize, output: usize) -> Range<usize> {
        let first = output * self.strides[axis];
        let (pad, dilation, kernel) = (self.pads_begin[axis], self.dilations[axis], self.kernel[axis]);
        let start = pad.saturating_sub(first).div_ceil(dilation).min(kernel);
        let end = (self.input[axis] + pad).saturating_sub(first).div_ceil(dilation).min(kernel);
        if start < end { start..end } else { 0..0 }
    }

    /// Where a tap of [`taps_inside`](Self::taps_inside) reads along an axis.
    #[inline]
    pub(crate) fn position(&self, axis: usize, output: usize, tap: usize) -> usize {
        output * self.strides[axis] + tap * self.dilations[axis] - self.pads_begin[axis]
    }

    /// Whether the output positions read the input positions of the same number.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.taps() == 1 && self.strides == [1; 3] && self.pads_begin == [0; 3] && self.input == self.output
    }

    /// The output positions in order, as coordinates.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = Spatial> {
        positions(self.output)
    }

    /// The taps in order, as coordinates.
    pub(crate) fn tap_positions(&self) -> impl Iterator<Item = Spatial> {
        positions(self.kernel)
    }

    /// The input position that a tap reads for an output position, if not padding.
    pub(crate) fn input_index(&self, output: Spatial, tap: Spatial) -> Option<usize> {
        let mut index = 0;
        for axis in 0..3 {
            index = index * self.input[axis] + self.source(axis, output[axis], tap[axis])?;
        }
        Some(index)
    }
}

/// Coordinates within `sizes`, the last running fastest.
pub(crate) fn positions(sizes: Spatial) -> impl Iterator<Item = Spatial> {
    let range = move |axis: usize| 0..sizes[axis];
    range(0).flat_map(move |d| range(1).flat_map(move |h| range(2).map(move |w| [d, h, w])))
}

/// Sizes of one to three axes as three, filled up in front.
pub(crate) fn spatial(what: &str, sizes: &[usize], rank: usize, missing: usize) -> Result<Spatial> {
    if !(1..=3).contains(&rank) {
        return Err(Error::new(format!("{rank} spatial dimensions are not supported, only 1 to 3")));
    }
    if sizes.len() != rank {
        return Err(Error::new(format!("{what} has {} entries for {rank} spatial dimensions", sizes.len())));
    }
    let mut full = [missing; 3];
    full[3 - rank..].copy_from_slice(sizes);
    Ok(full)
}

/// Refuses sizes of zero where they mean nothing.
pub(crate) fn expect_positive(what: &str, sizes: Spatial) -> Result<()> {
    if sizes.contains(&0) { Err(Error::new(format!("{what} must be positive"))) } else { Ok(()) }
}
