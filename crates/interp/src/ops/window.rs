//! The attributes that convolutions and pools share: how a window moves over the spatial dimensions.

use crate::op::Site;
use quantfit_ir::{Error, Result};

/// How a window moves, as far as attributes say.
pub(super) struct WindowAttrs {
    kernel: Option<Vec<usize>>,
    strides: Option<Vec<usize>>,
    dilations: Option<Vec<usize>>,
    padding: Padding,
}

enum Padding {
    /// Begin of each dimension, then end of each.
    Explicit(Option<Vec<usize>>),
    /// As many outputs as inputs by stride; the odd one at the end, or at the begin.
    Same {
        odd_at_end: bool,
    },
    Valid,
}

/// How a window moves over an input of known size.
pub(super) struct Moves {
    pub(super) kernel: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) dilations: Vec<usize>,
    pub(super) pads_begin: Vec<usize>,
    pub(super) pads_end: Vec<usize>,
}

impl WindowAttrs {
    /// Reads `kernel_shape`, `strides`, `dilations`, `pads` and `auto_pad`.
    pub(super) fn read(site: &Site<'_>) -> Result<WindowAttrs> {
        let padding = match site.str("auto_pad", "NOTSET")? {
            "NOTSET" | "" => Padding::Explicit(sizes(site, "pads")?),
            "SAME_UPPER" => Padding::Same { odd_at_end: true },
            "SAME_LOWER" => Padding::Same { odd_at_end: false },
            "VALID" => Padding::Valid,
            other => return Err(Error::invalid_model(format!("auto_pad {other:?} is none that ONNX knows"))),
        };
        let (kernel, strides) = (sizes(site, "kernel_shape")?, sizes(site, "strides")?);
        Ok(WindowAttrs { kernel, strides, dilations: sizes(site, "dilations")?, padding })
    }

    /// How the window moves over an input with those spatial sizes. `kernel` is the weight's, where there is one.
    pub(super) fn over(&self, input: &[usize], kernel: Option<&[usize]>) -> Result<Moves> {
        let rank = input.len();
        let kernel = self.kernel.as_deref().or(kernel).map(<[usize]>::to_vec);
        let kernel = kernel.ok_or_else(|| Error::invalid_model("kernel_shape is missing"))?;
        let ones = || vec![1; rank];
        let (strides, dilations) =
            (self.strides.clone().unwrap_or_else(ones), self.dilations.clone().unwrap_or_else(ones));
        if [kernel.len(), strides.len(), dilations.len()] != [rank; 3] {
            let message = format!("the window has {} dimensions, the input has {rank}", kernel.len());
            return Err(Error::invalid_model(message));
        }
        let (pads_begin, pads_end) = match &self.padding {
            Padding::Explicit(None) | Padding::Valid => (vec![0; rank], vec![0; rank]),
            Padding::Explicit(Some(pads)) if pads.len() == 2 * rank => {
                (pads[..rank].to_vec(), pads[rank..].to_vec())
            }
            Padding::Explicit(Some(pads)) => {
                return Err(Error::invalid_model(format!(
                    "there are {} pads for {rank} dimensions",
                    pads.len()
                )));
            }
            Padding::Same { odd_at_end } => {
                let pad = |axis: usize| {
                    let n_outputs = input[axis].div_ceil(strides[axis].max(1));
                    let reach = kernel[axis].saturating_sub(1) * dilations[axis] + 1;
                    let wanted = n_outputs.saturating_sub(1) * strides[axis] + reach;
                    let total = wanted.saturating_sub(input[axis]);
                    let (less, more) = (total / 2, total - total / 2);
                    if *odd_at_end { (less, more) } else { (more, less) }
                };
                (0..rank).map(pad).unzip()
            }
        };
        Ok(Moves { kernel, strides, dilations, pads_begin, pads_end })
    }
}

fn sizes(site: &Site<'_>, name: &str) -> Result<Option<Vec<usize>>> {
    let Some(values) = site.op.ints(name)? else { return Ok(None) };
    let size = |&value: &i64| {
        // Nothing real moves further, and sums of such sizes can't overflow.
        let size = usize::try_from(value).ok().filter(|&size| size <= u32::MAX as usize);
        size.ok_or_else(|| Error::unsupported(format!("{name} of {value}")))
    };
    values.iter().map(size).collect::<Result<_>>().map(Some)
}
