//! Interpolation: the elements and weights for a position between the elements of an image.

use crate::real::Real;
use intact8_ir::Element;
use smallvec::SmallVec;

/// The sampling of an image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sampler<'a> {
    /// The size of the image on each axis.
    pub(super) sizes: &'a [usize],
    pub(super) method: Method,
    pub(super) padding: Padding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// Nearest, half to even.
    Nearest,
    Linear,
    /// Keys' cubic convolution with a = -0.75.
    Cubic,
}

/// The values outside of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Padding {
    Zeros,
    /// The outermost elements, repeated.
    Border,
    /// The image mirrored at the centers of the outermost elements, or at their outer edges.
    Reflection {
        to_centers: bool,
    },
}

/// For each position, the elements and their weights.
pub(super) struct Taps<R> {
    taps: Vec<(usize, R)>,
    /// The end of the taps of each position.
    ends: Vec<usize>,
}

/// The taps of one axis.
type AxisTaps<R> = SmallVec<[(usize, R); 4]>;

impl<R> Default for Taps<R> {
    fn default() -> Taps<R> {
        Taps { taps: vec![], ends: vec![] }
    }
}

impl<R: Real> Taps<R> {
    pub(super) fn clear(&mut self) {
        self.taps.clear();
        self.ends.clear();
    }

    /// Adds a position, with one coordinate for each axis; its weights are multiplied by `factor`.
    pub(super) fn push(&mut self, sampler: &Sampler<'_>, position: &[f64], factor: R) {
        let axes = position
            .iter()
            .zip(sampler.sizes)
            .map(|(&coordinate, &size)| sampler.axis_taps(coordinate, size));
        let axes: SmallVec<[AxisTaps<R>; 3]> = axes.collect();
        self.combine(&axes, sampler.sizes, 0, factor);
        self.ends.push(self.taps.len());
    }

    fn combine(&mut self, axes: &[AxisTaps<R>], sizes: &[usize], start: usize, factor: R) {
        let (Some((axis, axes)), Some((size, sizes))) = (axes.split_first(), sizes.split_first()) else {
            self.taps.push((start, factor));
            return;
        };
        for &(idx, weight) in axis {
            self.combine(axes, sizes, start * size + idx, factor * weight);
        }
    }

    /// The weighted sum of every position.
    pub(super) fn sum(&self, image: &[R], out: &mut [R]) {
        let mut begin = 0;
        for (out, &end) in out.iter_mut().zip(&self.ends) {
            let taps = &self.taps[begin..end];
            *out = taps.iter().fold(R::ZERO, |sum, &(idx, weight)| sum + image[idx] * weight);
            begin = end;
        }
    }

    /// The element of every position that has exactly one.
    pub(super) fn pick<T: Element>(&self, image: &[T], out: &mut [T]) {
        let mut begin = 0;
        for (out, &end) in out.iter_mut().zip(&self.ends) {
            if let Some(&(idx, _)) = self.taps[begin..end].first() {
                out.clone_from(&image[idx]);
            }
            begin = end;
        }
    }
}

impl Sampler<'_> {
    /// The elements around a coordinate, without those of weight 0.
    fn axis_taps<R: Real>(&self, coordinate: f64, size: usize) -> AxisTaps<R> {
        let coordinate =
            if self.method == Method::Nearest { coordinate.round_ties_even() } else { coordinate };
        let coordinate = self.padding.into_image(coordinate, size);
        let floor = coordinate.floor();
        let t = coordinate - floor;
        let taps: SmallVec<[(f64, f64); 4]> = match self.method {
            Method::Nearest => SmallVec::from_slice(&[(floor, 1.0)]),
            Method::Linear => SmallVec::from_slice(&[(floor, 1.0 - t), (floor + 1.0, t)]),
            Method::Cubic => {
                let weights = [1.0 + t, t, 1.0 - t, 2.0 - t].map(cubic);
                (0..4).map(|i| (floor + f64::from(i) - 1.0, weights[i as usize])).collect()
            }
        };
        let taps = taps.into_iter().filter(|(_, weight)| *weight != 0.0);
        taps.filter_map(|(idx, weight)| Some((self.padding.index(idx, size)?, R::from_f64(weight)))).collect()
    }
}

/// The weight of a neighbour at a distance, which is not negative.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.75;
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    }
}

impl Padding {
    /// A coordinate outside of the image, mapped into it.
    fn into_image(self, coordinate: f64, size: usize) -> f64 {
        let last = size as f64 - 1.0;
        let edge = if self == (Padding::Reflection { to_centers: true }) { 0.0 } else { -0.5 };
        match self {
            _ if (edge..=last - edge).contains(&coordinate) => coordinate,
            Padding::Zeros => coordinate,
            // At this distance all neighbours are the outermost element.
            Padding::Border => coordinate.clamp(-2.0, last + 2.0),
            Padding::Reflection { .. } => reflect(coordinate, edge, last - edge),
        }
    }

    /// The element for an index that may be outside; `None` means 0.
    fn index(self, idx: f64, size: usize) -> Option<usize> {
        let last = size as f64 - 1.0;
        let inside = match self {
            _ if (0.0..=last).contains(&idx) => idx,
            Padding::Zeros => return None,
            Padding::Border => idx,
            Padding::Reflection { to_centers: true } => reflect(idx, 0.0, last),
            Padding::Reflection { to_centers: false } => reflect(idx, -0.5, last + 0.5),
        };
        Some(inside.clamp(0.0, last) as usize)
    }
}

/// The coordinate, mirrored at both ends until it is between them.
fn reflect(coordinate: f64, min: f64, max: f64) -> f64 {
    let range = max - min;
    if range <= 0.0 {
        return min;
    }
    let (distance, from, to) =
        if coordinate < min { (min - coordinate, min, 1.0) } else { (coordinate - max, max, -1.0) };
    let n_turns = (distance / range).trunc();
    let rest = distance - n_turns * range;
    match n_turns % 2.0 == 0.0 {
        true => from + to * rest,
        false => min + max - (from + to * rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_mirrored_at_both_ends() {
        let reflected = |coordinate| reflect(coordinate, -0.5, 2.5);
        assert_eq!([-1.0, -3.0, -4.0, 3.0, 5.0, 6.0].map(reflected), [0.0, 2.0, 2.0, 2.0, 0.0, 0.0]);
        assert_eq!(reflect(7.0, 0.0, 0.0), 0.0);
        assert!(reflect(f64::INFINITY, 0.0, 1.0).is_nan());
    }
}
