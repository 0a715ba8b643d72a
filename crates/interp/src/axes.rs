//! Normalized axes: negative ones count from the last dimension.

use intact8_ir::{Error, Result};

/// The axis of a tensor with `rank` dimensions.
pub(crate) fn axis(axis: i64, rank: usize) -> Result<usize> {
    let from_front = if axis < 0 { axis + rank as i64 } else { axis };
    let found = usize::try_from(from_front).ok().filter(|&axis| axis < rank);
    found.ok_or_else(|| Error::invalid_data(format!("axis {axis} is out of range for rank {rank}")))
}

/// Several axes, in the order of the list; an error if one occurs twice.
pub(crate) fn axes(list: &[i64], rank: usize) -> Result<Vec<usize>> {
    let axes: Vec<usize> = list.iter().map(|&one| axis(one, rank)).collect::<Result<_>>()?;
    let mut is_named = vec![false; rank];
    match axes.iter().find(|&&axis| std::mem::replace(&mut is_named[axis], true)) {
        Some(axis) => Err(Error::invalid_data(format!("axis {axis} is named twice"))),
        None => Ok(axes),
    }
}

/// A tensor with respect to one axis: `outer` blocks of `len` steps of `inner` elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Along {
    pub(crate) outer: usize,
    pub(crate) len: usize,
    pub(crate) inner: usize,
}

impl Along {
    /// A shape with respect to one of its axes.
    pub(crate) fn of(shape: &[usize], axis: usize) -> Along {
        let (outer, inner) = (shape[..axis].iter().product(), shape[axis + 1..].iter().product());
        Along { outer, len: shape[axis], inner }
    }
}
