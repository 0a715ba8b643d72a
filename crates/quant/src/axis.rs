//! One dimension of a row-major tensor: the index of an element along it.

/// A dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axis {
    /// The number of indices.
    pub(crate) len: usize,
    /// The number of neighbouring elements with the same index.
    pub(crate) inner: usize,
}

impl Axis {
    /// The dimension with the number `axis` of a tensor of that shape.
    pub(crate) fn of(shape: &[usize], axis: usize) -> Axis {
        Axis { len: shape[axis], inner: shape[axis + 1..].iter().product() }
    }

    /// A dimension along which all elements have the index 0.
    pub(crate) fn one(n_elements: usize) -> Axis {
        Axis { len: 1, inner: n_elements.max(1) }
    }

    /// The index of an element.
    pub(crate) fn index_of(&self, element: usize) -> usize {
        element / self.inner % self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_the_index_of_their_dimension() {
        let indices = |axis: Axis| (0..6).map(|element| axis.index_of(element)).collect::<Vec<_>>();
        assert_eq!(indices(Axis::of(&[2, 3], 0)), [0, 0, 0, 1, 1, 1]);
        assert_eq!(indices(Axis::of(&[2, 3], 1)), [0, 1, 2, 0, 1, 2]);
        assert_eq!(indices(Axis::one(6)), [0; 6]);
    }
}
