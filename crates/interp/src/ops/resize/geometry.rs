//! The output sizes of a resize.

use crate::axes;
use crate::number::{Number, with_float};
use intact8_ir::{Error, Result, Tensor};

/// The meaning of sizes (`keep_aspect_ratio_policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// The sizes of the output.
    Stretch,
    /// The output keeps the aspect ratio and is not larger.
    NotLarger,
    /// The output keeps the aspect ratio and is not smaller.
    NotSmaller,
}

/// The shape to resize, and the axes to which the operands refer; all if the attribute is absent.
pub(super) struct Geometry<'a> {
    pub(super) shape: &'a [usize],
    pub(super) axes: Option<&'a [i64]>,
    pub(super) policy: Policy,
}

/// One axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    pub(super) input: usize,
    pub(super) output: usize,
    /// The output size before rounding.
    pub(super) resized: f32,
    pub(super) scale: f32,
    /// Start and end of the region, from 0 to 1.
    pub(super) roi: (f32, f32),
}

impl Axis {
    fn same(len: usize) -> Axis {
        Axis { input: len, output: len, resized: len as f32, scale: 1.0, roi: (0.0, 1.0) }
    }

    /// Whether the axis stays unchanged.
    pub(super) fn is_same(&self) -> bool {
        *self == Axis::same(self.input)
    }
}

impl Geometry<'_> {
    /// All axes. Empty scales or sizes are equivalent to absent ones.
    pub(super) fn axes(
        &self,
        scales: Option<&[f32]>,
        sizes: Option<&[i64]>,
        roi: Option<&Tensor>,
    ) -> Result<Vec<Axis>> {
        let named: Vec<usize> = match self.axes {
            Some(list) => axes::axes(list, self.shape.len())?,
            None => (0..self.shape.len()).collect(),
        };
        let mut found: Vec<Axis> = self.shape.iter().map(|&len| Axis::same(len)).collect();
        match (scales.filter(|list| !list.is_empty()), sizes.filter(|list| !list.is_empty())) {
            (Some(scales), None) => {
                expect_len("scales", scales.len(), named.len())?;
                for (&axis, &scale) in named.iter().zip(scales) {
                    found[axis] = scaled(self.shape[axis], scale)?;
                }
            }
            (None, Some(sizes)) => {
                expect_len("sizes", sizes.len(), named.len())?;
                for (&axis, &size) in named.iter().zip(sizes) {
                    let negative =
                        |_| Error::invalid_data(format!("sizes must not be negative, found {size}"));
                    let (input, output) = (self.shape[axis], usize::try_from(size).map_err(negative)?);
                    let (resized, scale) = (output as f32, output as f32 / input as f32);
                    found[axis] = Axis { output, resized, scale, ..Axis::same(input) };
                }
                self.keep_proportions(&named, &mut found)?;
            }
            (None, None) if named.is_empty() => {}
            _ => return Err(Error::invalid_data("either scales or sizes must be present")),
        }
        if let Some(roi) = roi {
            let roi: Vec<f32> =
                with_float!(roi.dtype(), T => Ok(roi.values::<T>()?.iter().map(|x| x.to_f32()).collect()))?;
            expect_len("roi", roi.len(), 2 * named.len())?;
            let (starts, ends) = roi.split_at(named.len());
            for (&axis, roi) in named.iter().zip(starts.iter().copied().zip(ends.iter().copied())) {
                found[axis].roi = roi;
            }
        }
        match found.iter().find(|axis| axis.input == 0 && axis.output > 0) {
            Some(_) => {
                Err(Error::invalid_data(format!("an empty axis of shape {:?} can't be resized", self.shape)))
            }
            None => Ok(found),
        }
    }

    fn keep_proportions(&self, named: &[usize], found: &mut [Axis]) -> Result<()> {
        let scales = named.iter().map(|&axis| found[axis].scale);
        let scale = match self.policy {
            Policy::Stretch => return Ok(()),
            Policy::NotLarger => scales.fold(f32::INFINITY, f32::min),
            Policy::NotSmaller => scales.fold(0.0, f32::max),
        };
        for &axis in named {
            let input = self.shape[axis];
            let output = length(f64::from(scale) * input as f64 + 0.5)?;
            found[axis] = Axis { output, resized: scale * input as f32, scale, ..Axis::same(input) };
        }
        Ok(())
    }
}

/// The product is computed in f32, as in ONNX Runtime.
fn scaled(input: usize, scale: f32) -> Result<Axis> {
    if scale.is_nan() || scale <= 0.0 {
        return Err(Error::invalid_data(format!("scales must be positive, found {scale}")));
    }
    let resized = input as f32 * scale;
    let output = if scale == 1.0 { input } else { length(f64::from(resized))? };
    Ok(Axis { output, resized, scale, ..Axis::same(input) })
}

fn length(len: f64) -> Result<usize> {
    if len < 2f64.powi(53) {
        return Ok(len as usize);
    }
    Err(Error::limit(format!("an axis of length {len} exceeds the address space")))
}

fn expect_len(what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::invalid_data(format!("{what} has {found} elements, expected {expected}")))
}
