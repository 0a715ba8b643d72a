//! What convolutions and pools share: how often a window fits into a dimension.

use crate::fact::Shape;
use crate::length::Length;
use crate::site::{Inferred, Site, Stop};

/// How a window moves over the spatial dimensions.
pub(super) struct Window {
    pub(super) kernel: Vec<Length>,
    pub(super) strides: Vec<i64>,
    pub(super) dilations: Vec<i64>,
    pub(super) padding: Padding,
}

pub(super) enum Padding {
    /// In front of each dimension, then behind each.
    Explicit(Vec<i64>, Vec<i64>),
    /// As many outputs as inputs by stride.
    Same,
    Valid,
}

impl Window {
    /// Reads `kernel_shape`, `strides`, `dilations`, `pads` and `auto_pad` for so many spatial dimensions. `kernel` is
    /// the weight's, where there is one.
    pub(super) fn read(site: &Site<'_>, n_dims: usize, kernel: Option<&[Length]>) -> Inferred<Window> {
        let stated = list(site, "kernel_shape", n_dims)?;
        let stated = stated.map(|kernel| kernel.into_iter().map(Length::known).collect::<Shape>());
        let kernel = stated.or_else(|| kernel.map(<[Length]>::to_vec));
        let kernel = kernel.ok_or_else(|| Stop::wrong("attribute kernel_shape is missing"))?;
        let ones = || vec![1; n_dims];
        let strides = list(site, "strides", n_dims)?.unwrap_or_else(ones);
        let dilations = list(site, "dilations", n_dims)?.unwrap_or_else(ones);
        if let Some(wrong) = strides.iter().chain(&dilations).find(|&&step| step < 1) {
            return Err(Stop::wrong(format!("a step of {wrong} leads nowhere")));
        }
        let padding = match site.str("auto_pad", "NOTSET")? {
            "NOTSET" | "" => {
                let mut begin = list(site, "pads", 2 * n_dims)?.unwrap_or_else(|| vec![0; 2 * n_dims]);
                let end = begin.split_off(n_dims);
                Padding::Explicit(begin, end)
            }
            "SAME_UPPER" | "SAME_LOWER" => Padding::Same,
            "VALID" => Padding::Valid,
            other => return Err(Stop::wrong(format!("auto_pad {other:?} is none that ONNX knows"))),
        };
        Ok(Window { kernel, strides, dilations, padding })
    }

    /// What is added to a dimension.
    pub(super) fn pads(&self, idx: usize) -> Length {
        match &self.padding {
            Padding::Explicit(begin, end) => &Length::known(begin[idx]) + &Length::known(end[idx]),
            Padding::Same | Padding::Valid => Length::known(0),
        }
    }

    /// How far the window reaches: `dilation · (kernel - 1) + 1`.
    pub(super) fn reach(&self, idx: usize) -> Length {
        let one = Length::known(1);
        &(&Length::known(self.dilations[idx]) * &(&self.kernel[idx] - &one)) + &one
    }

    /// How many windows there are over a dimension of that length; `ceil` counts one that is not covered in full,
    /// unless it starts behind the input.
    pub(super) fn count(&self, idx: usize, input: &Length, ceil: bool) -> Length {
        let (one, stride) = (Length::known(1), self.strides[idx]);
        if matches!(self.padding, Padding::Same) {
            return input.ceil_div(stride);
        }
        let way = &(input + &self.pads(idx)) - &self.reach(idx);
        let Padding::Explicit(begin, _) = &self.padding else { return &way.floor_div(stride) + &one };
        if !ceil {
            return &way.floor_div(stride) + &one;
        }
        let last = way.ceil_div(stride);
        let (start, end) = (&last * &Length::known(stride), input + &Length::known(begin[idx]));
        if start.is_at_least(&end) {
            last
        } else if end.is_at_least(&(&start + &one)) {
            &last + &one
        } else {
            Length::UNKNOWN
        }
    }

    /// The spatial dimensions of what comes out.
    pub(super) fn counts(&self, input: &[Length], ceil: bool) -> Shape {
        input.iter().enumerate().map(|(idx, length)| self.count(idx, length, ceil)).collect()
    }
}

/// The integers of an attribute that must be so many, if it is there.
pub(super) fn list(site: &Site<'_>, name: &str, n_wanted: usize) -> Inferred<Option<Vec<i64>>> {
    let Some(list) = site.op.ints(name)? else { return Ok(None) };
    let found = list.len();
    match found == n_wanted {
        true => Ok(Some(list.to_vec())),
        false => Err(Stop::wrong(format!("{name} must have {n_wanted} elements, found {found}"))),
    }
}
