//! The window of a convolution or a pooling over the spatial dimensions: the one definition of `kernel_shape`, `strides`,
//! `dilations`, `pads` and `auto_pad`.
//!
//! It computes no element. Kernels have windows of their own, of three dimensions and free of attributes.

use crate::{Error, Op, Result};

/// A window as the attributes of an operator state it; `None` for an attribute that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowAttributes {
    /// The size of the window in each spatial dimension, at least 1.
    pub kernel: Option<Vec<usize>>,
    /// The distance by which the window moves from output to output, at least 1.
    pub strides: Option<Vec<usize>>,
    /// The distance of neighbouring elements of the window in the input, at least 1.
    pub dilations: Option<Vec<usize>>,
    /// The padding of the input.
    pub padding: Padding,
}

/// The padding of the input of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Padding {
    /// The padding before each dimension, then that after each; none if left out.
    Explicit(Option<Vec<usize>>),
    /// The padding with which the number of outputs is that of the inputs divided by the stride, rounded up.
    Same {
        /// Whether the greater half of an odd sum comes after the input (`SAME_UPPER`) or before it (`SAME_LOWER`).
        odd_at_end: bool,
    },
    /// No padding.
    Valid,
}

/// A window over an input of known size. All lists have an element for each spatial dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The size of the window.
    pub kernel: Vec<usize>,
    /// The distance by which the window moves from output to output.
    pub strides: Vec<usize>,
    /// The distance of neighbouring elements of the window in the input.
    pub dilations: Vec<usize>,
    /// The padding before the input.
    pub pads_begin: Vec<usize>,
    /// The padding after the input.
    pub pads_end: Vec<usize>,
}

/// The largest size: real ones are smaller, and sums and products of two such sizes can't overflow.
const MAX_SIZE: usize = u32::MAX as usize / 4;

impl WindowAttributes {
    /// Those of an operator. An error if one is of another kind or out of range.
    pub fn of(op: &Op) -> Result<WindowAttributes> {
        let padding = match op.str("auto_pad")?.unwrap_or("NOTSET") {
            "NOTSET" | "" => Padding::Explicit(op.sizes("pads", 0)?),
            "SAME_UPPER" => Padding::Same { odd_at_end: true },
            "SAME_LOWER" => Padding::Same { odd_at_end: false },
            "VALID" => Padding::Valid,
            other => return Err(Error::invalid_model(format!("auto_pad {other:?} is none that ONNX knows"))),
        };
        let (kernel, strides) = (op.sizes("kernel_shape", 1)?, op.sizes("strides", 1)?);
        Ok(WindowAttributes { kernel, strides, dilations: op.sizes("dilations", 1)?, padding })
    }

    /// The window over an input of these spatial sizes. `kernel` is the weight's, if there is a weight. An
    /// error if the attributes do not fit these sizes.
    pub fn over(&self, input: &[usize], kernel: Option<&[usize]>) -> Result<Window> {
        let mut window = self.unpadded(input, kernel)?;
        (window.pads_begin, window.pads_end) = match &self.padding {
            Padding::Explicit(pads) => explicit_pads(pads.as_deref(), input.len())?,
            Padding::Valid => explicit_pads(None, input.len())?,
            Padding::Same { odd_at_end } => {
                let pad = |axis: usize| {
                    let n_outputs = input[axis].div_ceil(window.strides[axis]);
                    let needed =
                        n_outputs.saturating_sub(1) * window.strides[axis] + window.dilated_size(axis);
                    split_padding(needed.saturating_sub(input[axis]), *odd_at_end)
                };
                (0..input.len()).map(pad).unzip()
            }
        };
        Ok(window)
    }

    /// The same without any padding.
    pub fn unpadded(&self, input: &[usize], kernel: Option<&[usize]>) -> Result<Window> {
        let rank = input.len();
        let pads = match &self.padding {
            Padding::Explicit(pads) => pads.as_deref(),
            _ => None,
        };
        let lists = [
            ("kernel_shape", self.kernel.as_deref()),
            ("strides", self.strides.as_deref()),
            ("dilations", self.dilations.as_deref()),
            ("pads", pads),
        ];
        lists.into_iter().try_for_each(|(name, sizes)| check_sizes(name, sizes))?;
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
        let window =
            Window { kernel, strides, dilations, pads_begin: vec![0; rank], pads_end: vec![0; rank] };
        let sizes = (0..rank).map(|axis| window.dilated_size(axis));
        match sizes.chain(input.iter().copied()).find(|&size| size > MAX_SIZE) {
            Some(size) => Err(Error::limit(format!("a window over {size} positions is too large"))),
            None if window.kernel.contains(&0) => Err(Error::invalid_data("the window is empty")),
            None => Ok(window),
        }
    }

    /// Whether no input of any size is padded.
    pub fn never_pads(&self) -> bool {
        match &self.padding {
            Padding::Explicit(pads) => pads.iter().flatten().all(|&pad| pad == 0),
            Padding::Same { .. } => false,
            Padding::Valid => true,
        }
    }
}

impl Window {
    /// The number of positions of the input that the window covers along a dimension, including those between its elements:
    /// `dilation · (kernel - 1) + 1`.
    pub fn dilated_size(&self, axis: usize) -> usize {
        self.kernel[axis].saturating_sub(1).saturating_mul(self.dilations[axis]).saturating_add(1)
    }

    /// The number of outputs in each dimension. With `ceil`, a last window that is not covered in full counts, the
    /// only one too, unless it begins after the input and the padding before it.
    pub fn output(&self, input: &[usize], ceil: bool) -> Result<Vec<usize>> {
        let along = |axis: usize| {
            let (begin, stride) = (self.pads_begin[axis], self.strides[axis]);
            let (padded, size) = (input[axis] + begin + self.pads_end[axis], self.dilated_size(axis));
            if ceil && padded < size && size < padded + stride {
                return Ok(1);
            }
            let rest = padded.checked_sub(size).ok_or_else(|| {
                Error::invalid_data(format!(
                    "a window that reaches over {size} does not fit into {padded} padded positions"
                ))
            })?;
            let n_windows = if ceil { rest.div_ceil(stride) } else { rest / stride } + 1;
            let is_after = ceil && (n_windows - 1) * stride >= input[axis] + begin;
            Ok(if is_after { n_windows - 1 } else { n_windows })
        };
        (0..input.len()).map(along).collect()
    }
}

impl Op {
    /// The attribute `name`, a list of sizes that are at least `least`; an error if it is of another kind, or a size is
    /// less. There is no upper limit here; code that computes with sizes checks them with [`check_sizes`].
    pub fn sizes(&self, name: &str, least: usize) -> Result<Option<Vec<usize>>> {
        let Some(values) = self.ints(name)? else { return Ok(None) };
        let size = |&value: &i64| match usize::try_from(value) {
            Ok(size) if size >= least => Ok(size),
            _ => Err(Error::invalid_model(format!("{name} must be at least {least}, found {value}"))),
        };
        values.iter().map(size).collect::<Result<_>>().map(Some)
    }
}

/// Checks that the sizes of an attribute, if there is one, are small enough that sums and products of two can't overflow.
pub fn check_sizes(name: &str, sizes: Option<&[usize]>) -> Result<()> {
    match sizes.into_iter().flatten().find(|&&size| size > MAX_SIZE) {
        Some(size) => Err(Error::unsupported(format!("{name} of {size}"))),
        None => Ok(()),
    }
}

/// Explicit pads, before each of `rank` dimensions and after each; nothing if there are none. An error if there are not
/// two for each dimension.
pub fn explicit_pads(pads: Option<&[usize]>, rank: usize) -> Result<(Vec<usize>, Vec<usize>)> {
    match pads {
        None => Ok((vec![0; rank], vec![0; rank])),
        Some(pads) if pads.len() == 2 * rank => Ok((pads[..rank].to_vec(), pads[rank..].to_vec())),
        Some(pads) => {
            Err(Error::invalid_model(format!("there are {} pads for {rank} dimensions", pads.len())))
        }
    }
}

/// Padding before and after, as equal as possible.
pub fn split_padding(total: usize, odd_at_end: bool) -> (usize, usize) {
    let (less, more) = (total / 2, total - total / 2);
    if odd_at_end { (less, more) } else { (more, less) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Attr;

    fn conv(attrs: &[(&str, &[i64])], auto_pad: &str) -> Op {
        let op = Op::new("Conv").with("auto_pad", Attr::Str(auto_pad.as_bytes().to_vec()));
        attrs.iter().fold(op, |op, (name, values)| op.with(name, Attr::Ints(values.to_vec())))
    }

    #[test]
    fn same_padding_puts_the_odd_one_where_it_is_said() {
        let pads = |auto_pad: &str| {
            let op = conv(&[("strides", &[2])], auto_pad);
            let window = WindowAttributes::of(&op).unwrap().over(&[6], Some(&[3])).unwrap();
            (window.pads_begin[0], window.pads_end[0], window.output(&[6], false).unwrap()[0])
        };
        assert_eq!(pads("SAME_UPPER"), (0, 1, 3));
        assert_eq!(pads("SAME_LOWER"), (1, 0, 3));
        assert_eq!(pads("VALID"), (0, 0, 2));
    }

    #[test]
    fn explicit_pads_and_dilations_count() {
        let op = conv(&[("pads", &[1, 2]), ("dilations", &[2])], "NOTSET");
        let attributes = WindowAttributes::of(&op).unwrap();
        let window = attributes.over(&[4], Some(&[3])).unwrap();
        assert_eq!((window.dilated_size(0), window.output(&[4], false).unwrap()), (5, vec![3]));
        assert!(!attributes.never_pads());
        assert!(WindowAttributes::of(&conv(&[("pads", &[0, 0])], "")).unwrap().never_pads());
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        let message = |op: Op| WindowAttributes::of(&op).unwrap_err().to_string();
        assert_eq!(message(conv(&[("strides", &[0])], "NOTSET")), "strides must be at least 1, found 0");
        assert_eq!(message(conv(&[("pads", &[-1, 0])], "NOTSET")), "pads must be at least 0, found -1");
        let huge = WindowAttributes::of(&conv(&[("strides", &[i64::MAX])], "NOTSET")).unwrap();
        let message_over = huge.over(&[4], Some(&[3])).unwrap_err().to_string();
        assert_eq!(message_over, "strides of 9223372036854775807");
        assert_eq!(message(conv(&[], "HALF")), "auto_pad \"HALF\" is none that ONNX knows");
        let attributes = WindowAttributes::of(&conv(&[("pads", &[1])], "NOTSET")).unwrap();
        assert_eq!(
            attributes.over(&[4], Some(&[3])).unwrap_err().to_string(),
            "there are 1 pads for 1 dimensions"
        );
    }
}
