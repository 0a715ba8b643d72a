//! Windows over one channel: each output combines the taps of one plane.

use super::{CHUNK, SLACK, Sheet, Strip, gather_rows, strip_size, strips};
use crate::buffer::AlignedBuffer;
use crate::isa::{Isa, Loops};
use crate::parallel;
use crate::window::Window;

/// The operation that combines the values under the taps of a window into an output.
pub(crate) trait Combine: Copy + Send + Sync {
    /// The type of the input.
    type Value: Copy + Default + Send + Sync;
    /// The type of the output.
    type Sum: Copy + Default + Send + Sync;

    /// Adds one tap; `fused` is whether a multiply-add is one instruction.
    ///
    /// Implementations mark it as `#[inline(always)]`.
    fn combine(self, fused: bool, sum: Self::Sum, value: Self::Value, weight: Self::Sum) -> Self::Sum;
}

/// One plane of the output with its operands.
pub(crate) struct Plane<'a, C: Combine> {
    pub(crate) input: &'a [C::Value],
    /// One for each tap.
    pub(crate) weights: &'a [C::Sum],
    pub(crate) start: C::Sum,
    pub(crate) output: &'a mut [C::Sum],
}

/// The preferred number of columns of a strip: its sheet and its result stay in the first-level cache.
const STRIP_COLUMNS: usize = 4096;

/// Computes every plane: each output is `start` combined with the values under the taps, in order; `padding` surrounds
/// the input.
pub(crate) fn slide<C: Combine>(
    isa: Isa,
    window: Window,
    how: C,
    padding: C::Value,
    planes: Vec<Plane<'_, C>>,
) {
    let size = strip_size(&window, STRIP_COLUMNS);
    let sheet = Sheet::new(window, size);
    let strips: Vec<Strip> = strips(&window, size).collect();
    let operations = planes.len() * window.output_len() * window.taps() * parallel::TAP_COST;
    let scratch =
        || (AlignedBuffer::new(sheet.len() + SLACK), AlignedBuffer::new(size[0] * sheet.pitch + SLACK));
    parallel::for_each_with(operations, planes, scratch, |(cells, flat), plane| {
        let (cells, flat) = (cells.as_mut_slice(), flat.as_mut_slice());
        isa.run(Slide { how, sheet: &sheet, strips: &strips, padding, plane, cells, flat });
    });
}

/// All strips of one plane.
struct Slide<'a, C: Combine> {
    how: C,
    sheet: &'a Sheet,
    strips: &'a [Strip],
    padding: C::Value,
    plane: Plane<'a, C>,
    cells: &'a mut [C::Value],
    flat: &'a mut [C::Sum],
}

impl<C: Combine> Loops for Slide<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run(self, fused: bool) {
        let Slide { how, sheet, strips, padding, plane, cells, flat } = self;
        let Plane { input, weights, start, output } = plane;
        let mut first = 0;
        for strip in strips {
            sheet.fill(strip, input, padding, cells);
            let columns = sheet.columns(strip);
            combine_taps(
                how,
                fused,
                cells,
                &sheet.taps,
                weights,
                start,
                &mut flat[..columns.next_multiple_of(CHUNK)],
            );
            gather_rows(flat, sheet.pitch, strip.columns.len(), &mut output[first..first + strip.len()]);
            first += strip.len();
        }
    }
}

/// Sets `flat[j]` to `start` combined, in order, with the value and the weight of each tap for column `j`.
#[inline(always)]
fn combine_taps<C: Combine>(
    how: C,
    fused: bool,
    cells: &[C::Value],
    taps: &[usize],
    weights: &[C::Sum],
    start: C::Sum,
    flat: &mut [C::Sum],
) {
    let (threes, ones) = taps.as_chunks::<3>();
    let (three_weights, one_weights) = weights.as_chunks::<3>();
    for sum in &mut *flat {
        *sum = start;
    }
    for (&[a, b, c], &[u, v, w]) in threes.iter().zip(three_weights) {
        let (a, b, c) = (&cells[a..][..flat.len()], &cells[b..][..flat.len()], &cells[c..][..flat.len()]);
        for (((sum, a), b), c) in flat.iter_mut().zip(a).zip(b).zip(c) {
            let first = how.combine(fused, *sum, *a, u);
            let second = how.combine(fused, first, *b, v);
            *sum = how.combine(fused, second, *c, w);
        }
    }
    for (&tap, &weight) in ones.iter().zip(one_weights) {
        for (sum, value) in flat.iter_mut().zip(&cells[tap..]) {
            *sum = how.combine(fused, *sum, *value, weight);
        }
    }
}
