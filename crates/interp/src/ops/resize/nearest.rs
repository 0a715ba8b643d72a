//! Each output element is an input element.

use super::coordinates::{Coordinates, Rounding};
use super::element_of;
use super::geometry::Axis;
use crate::call::Call;
use crate::stand_in::{movable, restored, with_movable};
use intact8_ir::{Element, Result, Tensor, with_element};

/// For elements of every type, since elements are only copied.
pub(super) fn nearest(
    x: &Tensor,
    axes: &[Axis],
    coordinates: Coordinates,
    rounding: Rounding,
    extrapolation: f32,
    call: &Call<'_, '_>,
) -> Result<Tensor> {
    let shape: Vec<usize> = axes.iter().map(|axis| axis.output).collect();
    // Elements after the last changed axis are copied as one block.
    let n_changed = axes.iter().rposition(|axis| !axis.is_same()).map_or(0, |last| last + 1);
    let (changed, same) = axes.split_at(n_changed);
    let dtype = x.dtype();
    let n_elements = with_element!(dtype, T => call.reserve::<T>(&shape))?;
    let sources = changed.iter().map(|axis| {
        let source = |resized| {
            if axis.is_same() {
                return Some(resized);
            }
            let original = coordinates.original(resized, axis);
            (!coordinates.is_outside(original, axis)).then(|| rounding.round(original, axis))
        };
        (0..axis.output).map(source).collect::<Vec<_>>()
    });
    let sources: Vec<Vec<Option<usize>>> = sources.collect();
    let is_outside = sources.iter().flatten().any(Option::is_none);
    let filler = (is_outside && n_elements > 0).then(|| element_of(dtype, extrapolation)).transpose()?;
    let filler = filler.as_ref().map(|tensor| movable(tensor, call)).transpose()?;
    let x = &*movable(x, call)?;
    let out = with_movable!(x.dtype(), T => {
        let filler = match &filler {
            Some(filler) => filler.values::<T>()?[0].clone(),
            None => T::default(),
        };
        let block = same.iter().map(|axis| axis.input).product();
        let mut gather = Gather { axes: changed, sources: &sources, block, filler, out: call.context.buffer_pool.empty(n_elements) };
        if n_elements > 0 {
            gather.walk(0, Some(x.values::<T>()?));
        }
        Ok(Tensor::new(&shape, gather.out))
    })?;
    restored(out, dtype)
}

struct Gather<'a, T> {
    axes: &'a [Axis],
    sources: &'a [Vec<Option<usize>>],
    /// The number of elements that are copied as one block.
    block: usize,
    filler: T,
    out: Vec<T>,
}

impl<T: Element> Gather<'_, T> {
    /// Appends the output for the part of the input at the first `level` axes; `None` is outside.
    fn walk(&mut self, level: usize, part: Option<&[T]>) {
        let (Some(axis), Some(part)) = (self.axes.get(level), part) else {
            let n_elements =
                self.axes[level..].iter().map(|axis| axis.output).product::<usize>() * self.block;
            match part {
                Some(part) => self.out.extend_from_slice(part),
                None => self.out.resize(self.out.len() + n_elements, self.filler.clone()),
            }
            return;
        };
        let sources = &self.sources[level];
        let step = part.len() / axis.input.max(1);
        if level + 1 == self.axes.len() && self.block == 1 {
            let filler = &self.filler;
            self.out.extend(sources.iter().map(|source| source.map_or(filler, |idx| &part[idx]).clone()));
            return;
        }
        let mut before = None;
        for &source in sources {
            let start = self.out.len();
            match before {
                Some((same, start)) if same == source => {
                    self.out.extend_from_within(start..start + self.len(level))
                }
                _ => self.walk(level + 1, source.map(|idx| &part[idx * step..(idx + 1) * step])),
            }
            before = Some((source, start));
        }
    }

    /// The number of output elements of one step along an axis.
    fn len(&self, level: usize) -> usize {
        self.axes[level + 1..].iter().map(|axis| axis.output).product::<usize>() * self.block
    }
}
