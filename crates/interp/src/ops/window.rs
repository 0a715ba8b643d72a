//! The sliding window of convolutions and pools, from their common attributes.

mod taps;

pub(super) use taps::{Run, Taps};

use crate::op::CompileContext;
use intact8_ir::{Error, Result};

/// The attributes of a sliding window.
pub(super) struct WindowAttrs {
    kernel: Option<Vec<usize>>,
    strides: Option<Vec<usize>>,
    dilations: Option<Vec<usize>>,
    pub(super) padding: Padding,
}

pub(super) enum Padding {
    /// The pads before each dimension, then those after each.
    Explicit(Option<Vec<usize>>),
    /// The number of outputs is that of the inputs divided by the stride; an odd pad is at the end, or at the start.
    Same {
        odd_at_end: bool,
    },
    Valid,
}

/// A sliding window over an input of known size.
pub(super) struct Moves {
    pub(super) kernel: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) dilations: Vec<usize>,
    pub(super) pads_begin: Vec<usize>,
    pub(super) pads_end: Vec<usize>,
}

/// The largest size; sums and products of two such sizes can't overflow.
const MOST: usize = u32::MAX as usize / 4;

impl WindowAttrs {
    /// Reads `kernel_shape`, `strides`, `dilations`, `pads` and `auto_pad`.
    pub(super) fn read(ctx: &CompileContext<'_>) -> Result<WindowAttrs> {
        let padding = match ctx.str("auto_pad", "NOTSET")? {
            "NOTSET" | "" => Padding::Explicit(sizes(ctx, "pads", 0)?),
            "SAME_UPPER" => Padding::Same { odd_at_end: true },
            "SAME_LOWER" => Padding::Same { odd_at_end: false },
            "VALID" => Padding::Valid,
            other => return Err(Error::invalid_model(format!("auto_pad {other:?} is not defined by ONNX"))),
        };
        let (kernel, strides) = (sizes(ctx, "kernel_shape", 1)?, sizes(ctx, "strides", 1)?);
        Ok(WindowAttrs { kernel, strides, dilations: sizes(ctx, "dilations", 1)?, padding })
    }

    /// The sliding window over an input with the given spatial sizes. `kernel` is the size in the weight, if there is a
    /// weight.
    pub(super) fn over(&self, input: &[usize], kernel: Option<&[usize]>) -> Result<Moves> {
        let mut moves = self.unpadded(input, kernel)?;
        (moves.pads_begin, moves.pads_end) = match &self.padding {
            Padding::Explicit(pads) => explicit(pads.as_deref(), input.len())?,
            Padding::Valid => explicit(None, input.len())?,
            Padding::Same { odd_at_end } => {
                let pad = |axis: usize| {
                    let n_outputs = input[axis].div_ceil(moves.strides[axis]);
                    let wanted = n_outputs.saturating_sub(1) * moves.strides[axis] + moves.reach(axis);
                    split(wanted.saturating_sub(input[axis]), *odd_at_end)
                };
                (0..input.len()).map(pad).unzip()
            }
        };
        Ok(moves)
    }

    /// The same without padding.
    pub(super) fn unpadded(&self, input: &[usize], kernel: Option<&[usize]>) -> Result<Moves> {
        let rank = input.len();
        if let (Some(stated), Some(found)) = (self.kernel.as_deref(), kernel)
            && stated != found
        {
            return Err(Error::invalid_data(format!(
                "kernel_shape is {stated:?}, the weight's is {found:?}"
            )));
        }
        let kernel = self.kernel.as_deref().or(kernel).map(<[usize]>::to_vec);
        let kernel = kernel.ok_or_else(|| Error::invalid_model("kernel_shape is missing"))?;
        let ones = || vec![1; rank];
        let (strides, dilations) =
            (self.strides.clone().unwrap_or_else(ones), self.dilations.clone().unwrap_or_else(ones));
        if [kernel.len(), strides.len(), dilations.len()] != [rank; 3] {
            let message = format!("the window has {} dimensions, the input has {rank}", kernel.len());
            return Err(Error::invalid_model(message));
        }
        let moves = Moves { kernel, strides, dilations, pads_begin: vec![0; rank], pads_end: vec![0; rank] };
        let reaches = (0..rank).map(|axis| moves.reach(axis));
        match reaches.chain(input.iter().copied()).find(|&size| size > MOST) {
            Some(size) => Err(Error::limit(format!("a window with {size} positions is too large"))),
            None if moves.kernel.contains(&0) => Err(Error::invalid_data("the window is empty")),
            None => Ok(moves),
        }
    }
}

impl Moves {
    /// The extent of the window along an axis.
    pub(super) fn reach(&self, axis: usize) -> usize {
        self.kernel[axis].saturating_sub(1).saturating_mul(self.dilations[axis]).saturating_add(1)
    }

    /// The number of window positions in each dimension. With rounding up, the last window may exceed the padding, but
    /// must start before the end of the input and its leading padding.
    pub(super) fn output(&self, input: &[usize], ceil: bool) -> Result<Vec<usize>> {
        let along = |axis: usize| {
            let (begin, stride) = (self.pads_begin[axis], self.strides[axis]);
            let (padded, reach) = (input[axis] + begin + self.pads_end[axis], self.reach(axis));
            if ceil && padded < reach && reach < padded + stride {
                return Ok(1);
            }
            let rest = padded.checked_sub(reach).ok_or_else(|| {
                Error::invalid_data(format!(
                    "a window that reaches over {reach} does not fit into {padded} padded positions"
                ))
            })?;
            let n_windows = if ceil { rest.div_ceil(stride) } else { rest / stride } + 1;
            let is_behind = ceil && (n_windows - 1) * stride >= input[axis] + begin;
            Ok(if is_behind { n_windows - 1 } else { n_windows })
        };
        (0..input.len()).map(along).collect()
    }
}

/// The explicit pads before and after.
pub(super) fn explicit(pads: Option<&[usize]>, rank: usize) -> Result<(Vec<usize>, Vec<usize>)> {
    match pads {
        None => Ok((vec![0; rank], vec![0; rank])),
        Some(pads) if pads.len() == 2 * rank => Ok((pads[..rank].to_vec(), pads[rank..].to_vec())),
        Some(pads) => {
            Err(Error::invalid_model(format!("{} pads do not match {rank} dimensions", pads.len())))
        }
    }
}

/// The pads before and after, which differ by at most one.
pub(super) fn split(total: usize, odd_at_end: bool) -> (usize, usize) {
    let (less, more) = (total / 2, total - total / 2);
    if odd_at_end { (less, more) } else { (more, less) }
}

/// An attribute of sizes that are at least `least`.
pub(super) fn sizes(ctx: &CompileContext<'_>, name: &str, least: usize) -> Result<Option<Vec<usize>>> {
    let Some(values) = ctx.op.ints(name)? else { return Ok(None) };
    let size = |&value: &i64| match usize::try_from(value) {
        Ok(size) if size > MOST => Err(Error::unsupported(format!("{name} {value} is too large"))),
        Ok(size) if size >= least => Ok(size),
        _ => Err(Error::invalid_model(format!("{name} must be at least {least}, found {value}"))),
    };
    values.iter().map(size).collect::<Result<_>>().map(Some)
}
