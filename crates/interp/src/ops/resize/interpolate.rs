//! Each output element is a weighted sum of input elements, one axis after another.

use super::coordinates::Coordinates;
use super::geometry::Axis;
use crate::axes::Along;
use crate::call::Call;
use crate::number::Number;
use crate::real::Real;
use crate::sampling::{samples, stored, with_sample};
use intact8_ir::{Result, Tensor};
use std::borrow::Cow;

/// The weights of neighbours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter {
    pub(super) curve: Curve,
    /// Whether neighbours outside have weight 0 instead of the outermost elements' values (`exclude_outside`).
    pub(super) exclude_outside: bool,
    /// Whether the filter is wider for downscaling (`antialias`).
    pub(super) antialias: bool,
}

/// The weight as a function of the distance.
#[derive(Debug, Clone, Copy)]
pub(super) enum Curve {
    Linear,
    /// Keys' cubic convolution with its coefficient a: IEEE 1163711, equation 4.
    Cubic(f64),
}

/// For numbers; integers are rounded half to even.
pub(super) fn interpolate(
    x: &Tensor,
    axes: &[Axis],
    coordinates: Coordinates,
    filter: &Filter,
    extrapolation: f32,
    call: &Call<'_, '_>,
) -> Result<Tensor> {
    let mut shape: Vec<usize> = axes.iter().map(|axis| axis.input).collect();
    let mut order: Vec<usize> = (0..axes.len()).filter(|&axis| !axes[axis].is_same()).collect();
    let growth = |axis: &Axis| axis.output as f64 / axis.input.max(1) as f64;
    order.sort_by(|&a, &b| growth(&axes[a]).total_cmp(&growth(&axes[b])));
    with_sample!(x.dtype(), R => {
        let mut values: Cow<'_, [R]> = samples(x)?;
        for axis in order {
            let along = Along::of(&shape, axis);
            shape[axis] = axes[axis].output;
            let mut out = call.zeros::<R>(&shape)?;
            if !out.is_empty() {
                let taps = Taps::new(&axes[axis], coordinates, filter, call)?;
                taps.apply(&values, along, R::from_f32(extrapolation), &mut out);
            }
            values = Cow::Owned(out);
        }
        let mut values = values.into_owned();
        if !x.dtype().is_float() {
            values.iter_mut().for_each(|value| *value = R::from_f64(value.to_f64().round_ties_even()));
        }
        stored(x.dtype(), &shape, values)
    })
}

/// For each position along the output, the same number of input elements with their weights.
struct Taps<R> {
    n_each: usize,
    taps: Vec<(usize, R)>,
    is_outside: Vec<bool>,
}

impl Curve {
    /// The radius of the filter.
    fn support(self) -> f64 {
        match self {
            Curve::Linear => 1.0,
            Curve::Cubic(_) => 2.0,
        }
    }

    fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Curve::Linear => (1.0 - x).max(0.0),
            Curve::Cubic(a) if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
            Curve::Cubic(a) if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
            Curve::Cubic(_) => 0.0,
        }
    }
}

impl<R: Real> Taps<R> {
    fn new(axis: &Axis, coordinates: Coordinates, filter: &Filter, call: &Call<'_, '_>) -> Result<Taps<R>> {
        let stretch = if filter.antialias { f64::from(axis.scale).recip().max(1.0) } else { 1.0 };
        let reach = filter.curve.support() * stretch;
        let n_each = (2.0 * reach).ceil() as usize;
        call.reserve::<u64>(&[axis.output, n_each, 2])?;
        let mut found = Taps { n_each, taps: Vec::with_capacity(axis.output * n_each), is_outside: vec![] };
        let last = axis.input as i64 - 1;
        let mut weights = vec![0.0; n_each];
        for resized in 0..axis.output {
            let original = coordinates.original(resized, axis);
            let is_outside = coordinates.is_outside(original, axis);
            found.is_outside.push(is_outside);
            // A region may be anywhere, even at infinity.
            let original = if is_outside { 0.0 } else { f64::from(original) };
            let first = (original - reach).floor() as i64 + 1;
            let positions = first..first + n_each as i64;
            for (weight, position) in weights.iter_mut().zip(positions.clone()) {
                let is_excluded = filter.exclude_outside && !(0..=last).contains(&position);
                let distance = (position as f64 - original) / stretch;
                *weight = if is_excluded { 0.0 } else { filter.curve.weight(distance) };
            }
            let sum: f64 = weights.iter().sum();
            let is_partial = (filter.exclude_outside || filter.antialias) && sum != 0.0;
            let sum = if is_partial { sum } else { 1.0 };
            let taps = positions.zip(&weights);
            found.taps.extend(
                taps.map(|(position, weight)| (position.clamp(0, last) as usize, R::from_f64(weight / sum))),
            );
        }
        Ok(found)
    }

    fn apply(&self, values: &[R], along: Along, extrapolation: R, out: &mut [R]) {
        let Along { outer, len, inner } = along;
        let out_len = out.len() / outer;
        for (part, out) in values.chunks_exact(len * inner).zip(out.chunks_exact_mut(out_len)) {
            match (inner, self.n_each) {
                (1, 2) => blend_row(part, self.taps.as_chunks::<2>().0, out),
                (1, 4) => blend_row(part, self.taps.as_chunks::<4>().0, out),
                _ => {
                    for (taps, out) in self.taps.chunks_exact(self.n_each).zip(out.chunks_exact_mut(inner)) {
                        blend_rows(part, taps, out);
                    }
                }
            }
            let outside =
                out.chunks_exact_mut(inner).zip(&self.is_outside).filter(|(_, is_outside)| **is_outside);
            outside.for_each(|(out, _)| out.fill(extrapolation));
        }
    }
}

/// `out[j] = Σ weight · part[idx]` for the taps of each j.
fn blend_row<R: Real, const N: usize>(part: &[R], taps: &[[(usize, R); N]], out: &mut [R]) {
    for (taps, out) in taps.iter().zip(out) {
        *out = taps.iter().fold(R::ZERO, |sum, &(idx, weight)| sum + part[idx] * weight);
    }
}

/// `out = Σ weight · row`, for rows as long as `out`.
fn blend_rows<R: Real>(part: &[R], taps: &[(usize, R)], out: &mut [R]) {
    for &(idx, weight) in taps.iter().filter(|(_, weight)| *weight != R::ZERO) {
        let row = &part[idx * out.len()..][..out.len()];
        out.iter_mut().zip(row).for_each(|(out, &x)| *out += x * weight);
    }
}
