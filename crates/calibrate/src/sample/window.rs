//! The pixels of an image that the window of a Conv covers at each output position.

use intact8_ir::{Error, Op, Result};
use std::ops::Range;

/// The kernel size, strides, dilations and padding of a Conv.
pub(super) struct Window {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    padding: Padding,
}

/// The padding of the input.
enum Padding {
    /// The number of zeros before and after the input in each dimension.
    Explicit(Vec<[usize; 2]>),
    /// As many outputs as inputs divided by the stride; an odd zero is after the input, or before it.
    Same { odd_before: bool },
}

impl Window {
    /// The window of a Conv with a kernel of these sizes.
    pub(super) fn read(op: &Op, kernel: &[usize]) -> Result<Window> {
        let sizes = |name: &str, default: usize, len: usize| -> Result<Vec<usize>> {
            let Some(values) = op.ints(name)? else { return Ok(vec![default; len]) };
            let sizes: Option<Vec<usize>> = values.iter().map(|&value| usize::try_from(value).ok()).collect();
            sizes.filter(|sizes| sizes.len() == len).ok_or_else(|| {
                Error::unsupported(format!("{name} is {values:?}; sampling needs {len} sizes"))
            })
        };
        let rank = kernel.len();
        let padding = match op.str("auto_pad")?.unwrap_or("NOTSET") {
            "SAME_UPPER" => Padding::Same { odd_before: false },
            "SAME_LOWER" => Padding::Same { odd_before: true },
            "VALID" => Padding::Explicit(vec![[0, 0]; rank]),
            _ => {
                let pads = sizes("pads", 0, 2 * rank)?;
                Padding::Explicit((0..rank).map(|axis| [pads[axis], pads[axis + rank]]).collect())
            }
        };
        Ok(Window {
            kernel: kernel.to_vec(),
            strides: sizes("strides", 1, rank)?,
            dilations: sizes("dilations", 1, rank)?,
            padding,
        })
    }

    /// The number of zeros before an input of a shape, in each spatial dimension.
    pub(super) fn pads_before(&self, shape: &[usize]) -> Result<Vec<usize>> {
        if shape.len() != self.kernel.len() + 2 {
            let message = format!("the input is {shape:?}, the window {:?}", self.kernel);
            return Err(Error::invalid_data(message));
        }
        let before = |axis: usize| match &self.padding {
            Padding::Explicit(pads) => pads[axis][0],
            Padding::Same { odd_before } => {
                let (size, stride) = (shape[axis + 2], self.strides[axis].max(1));
                let padded = size.div_ceil(stride).saturating_sub(1) * stride + self.reach(axis);
                let pad = padded.saturating_sub(size);
                if *odd_before { pad.div_ceil(2) } else { pad / 2 }
            }
        };
        Ok((0..self.kernel.len()).map(before).collect())
    }

    /// The number of output positions for an input of a shape with as many dimensions as the window, in each spatial dimension.
    pub(super) fn positions(&self, shape: &[usize]) -> Vec<usize> {
        let n_positions = |axis: usize| {
            let (size, stride) = (shape[axis + 2], self.strides[axis].max(1));
            match &self.padding {
                Padding::Explicit(pads) => {
                    let padded = size + pads[axis][0] + pads[axis][1];
                    padded.checked_sub(self.reach(axis)).map_or(0, |free| free / stride + 1)
                }
                Padding::Same { .. } => size.div_ceil(stride),
            }
        };
        (0..self.kernel.len()).map(n_positions).collect()
    }

    /// The number of pixels from the first tap to the last, along an axis.
    fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis].max(1) - 1) * self.dilations[axis] + 1
    }

    /// Copies the pixels of an image `[channels, sizes…]` that a window with these starts covers: for each channel, tap by tap;
    /// zeros outside the image.
    pub(super) fn patch(&self, image: &[f32], shape: &[usize], starts: &[isize], patch: &mut [f32]) {
        let (n_pixels, n_taps) =
            (shape[1..].iter().product::<usize>(), self.kernel.iter().product::<usize>());
        for tap in 0..n_taps {
            let pixel = self.pixel(tap, &shape[1..], starts);
            for channel in 0..shape[0] {
                patch[channel * n_taps + tap] = pixel.map_or(0.0, |pixel| image[channel * n_pixels + pixel]);
            }
        }
    }

    /// The index of the pixel under a tap; `None` outside the image.
    fn pixel(&self, mut tap: usize, sizes: &[usize], starts: &[isize]) -> Option<usize> {
        let (mut pixel, mut stride) = (0, 1);
        for axis in (0..sizes.len()).rev() {
            let offset = tap % self.kernel[axis] * self.dilations[axis];
            tap /= self.kernel[axis];
            let at = usize::try_from(starts[axis] + offset as isize).ok().filter(|&at| at < sizes[axis])?;
            pixel += at * stride;
            stride *= sizes[axis];
        }
        Some(pixel)
    }

    /// The start of the window of an output position in each dimension; negative before the input.
    pub(super) fn starts(&self, mut position: usize, positions: &[usize], pads: &[usize]) -> Vec<isize> {
        let mut starts = vec![0; positions.len()];
        for axis in (0..positions.len()).rev() {
            starts[axis] = (position % positions[axis] * self.strides[axis]) as isize - pads[axis] as isize;
            position /= positions[axis];
        }
        starts
    }

    /// For each tap, the sum of the pixels of a channel that it covers over all output positions, with zeros outside. Computed
    /// axis by axis, from the first to the last: so most additions are of neighbours.
    pub(super) fn sums(
        &self,
        plane: &[f32],
        sizes: &[usize],
        positions: &[usize],
        pads: &[usize],
    ) -> Vec<f64> {
        let covered = |axis: usize| -> Vec<Range<usize>> {
            let range = |tap| self.covered(axis, tap, sizes[axis], positions[axis], pads[axis]);
            (0..self.kernel[axis]).map(range).collect()
        };
        let is_one = |sizes: &[usize]| sizes.iter().all(|&size| size == 1);
        if is_one(&self.kernel) && is_one(&self.strides) && sizes == positions {
            return vec![sum(plane)];
        }
        let mut sums = self.sums_along_first(plane, sizes, &covered(0));
        for axis in 1..sizes.len() {
            let inner = sizes[axis + 1..].iter().product::<usize>().max(1);
            let (taps, size) = (covered(axis), sizes[axis].max(1));
            let mut along = vec![0.0; sums.len() / size * taps.len()];
            let slices = sums.chunks_exact(size * inner).zip(along.chunks_exact_mut(taps.len() * inner));
            for (values, into) in slices {
                for (pixels, into) in taps.iter().zip(into.chunks_exact_mut(inner)) {
                    for pixel in pixels.clone().step_by(self.strides[axis]) {
                        add_to(into, &values[pixel * inner..][..inner]);
                    }
                }
            }
            sums = along;
        }
        sums
    }

    /// For each tap along the first axis, the sum of the slices that it covers.
    fn sums_along_first(&self, plane: &[f32], sizes: &[usize], taps: &[Range<usize>]) -> Vec<f64> {
        let inner = sizes[1..].iter().product::<usize>().max(1);
        let add_slices = |sums: &mut [f32], pixels: Range<usize>, stride: usize| {
            pixels.step_by(stride).for_each(|pixel| add_to(sums, &plane[pixel * inner..][..inner]));
        };
        let mut sums = vec![0.0f64; taps.len() * inner];
        if inner == 1 {
            for (sum_of_tap, pixels) in sums.iter_mut().zip(taps) {
                *sum_of_tap = match self.strides[0] {
                    1 => sum(&plane[pixels.clone()]),
                    stride => {
                        plane[pixels.clone()].iter().step_by(stride).map(|value| f64::from(*value)).sum()
                    }
                };
            }
            return sums;
        }
        let mut whole = vec![0.0f32; inner];
        if self.strides[0] == 1 {
            add_slices(&mut whole, 0..sizes[0], 1);
        }
        let mut some = vec![0.0f32; inner];
        for (sums, pixels) in sums.chunks_exact_mut(inner).zip(taps).filter(|(_, pixels)| !pixels.is_empty())
        {
            some.fill(0.0);
            if self.strides[0] > 1 {
                add_slices(&mut some, pixels.clone(), self.strides[0]);
                sums.iter_mut().zip(&some).for_each(|(sum, some)| *sum = f64::from(*some));
            } else {
                // With stride 1, the taps differ only at the ends.
                add_slices(&mut some, 0..pixels.start, 1);
                add_slices(&mut some, pixels.end..sizes[0], 1);
                let both = whole.iter().zip(&some);
                sums.iter_mut()
                    .zip(both)
                    .for_each(|(sum, (whole, ends))| *sum = f64::from(*whole) - f64::from(*ends));
            }
        }
        sums
    }

    /// The range of pixels that a tap covers along an axis, from the first to the last.
    fn covered(&self, axis: usize, tap: usize, size: usize, n_positions: usize, pad: usize) -> Range<usize> {
        let (stride, offset) = (self.strides[axis].max(1), tap * self.dilations[axis]);
        let first = pad.saturating_sub(offset).div_ceil(stride);
        // The positions for which the tap is inside the input.
        let end = (size + pad).saturating_sub(offset).div_ceil(stride).min(n_positions);
        if first >= end {
            return 0..0;
        }
        let pixel = |position: usize| position * stride + offset - pad;
        pixel(first)..pixel(end - 1) + 1
    }
}

fn add_to<T: Copy + std::ops::AddAssign>(sums: &mut [T], values: &[T]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += *value);
}

/// The sum in several independent chains, so that a processor can add several values at once.
fn sum(values: &[f32]) -> f64 {
    const CHAINS: usize = 16;
    let mut sums = [0.0f32; CHAINS];
    let chunks = values.chunks_exact(CHAINS);
    let rest: f64 = chunks.remainder().iter().map(|value| f64::from(*value)).sum();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, value)| *sum += value);
    }
    sums.iter().map(|sum| f64::from(*sum)).sum::<f64>() + rest
}
