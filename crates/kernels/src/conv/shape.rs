//! The sizes of a convolution, and their validation.

use crate::error::{Error, Result};
use crate::window::{Window, expect_positive, spatial};

/// The sizes of a convolution with one to three spatial dimensions; all lists have one entry for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Images in the batch.
    pub batch: usize,
    /// Channels of the input, a multiple of `groups`.
    pub in_channels: usize,
    /// Channels of the output, a multiple of `groups`.
    pub out_channels: usize,
    /// The number of groups; an output channel uses the input channels of its group.
    pub groups: usize,
    /// Spatial sizes of the input.
    pub input: Vec<usize>,
    /// Spatial sizes of the window.
    pub kernel: Vec<usize>,
    /// Steps of the window, at least 1.
    pub strides: Vec<usize>,
    /// Distances between the taps of the window, at least 1.
    pub dilations: Vec<usize>,
    /// Zeros before the input.
    pub pads_begin: Vec<usize>,
    /// Zeros after the input.
    pub pads_end: Vec<usize>,
}

impl ConvShape {
    /// The spatial sizes of the output: `(input + pads - reach of the window) / stride + 1`, rounded down.
    ///
    /// # Errors
    /// If a list has another length than `input`, a size that must be positive is not, groups do not divide
    /// the channels, or the window is larger than the padded input.
    pub fn output(&self) -> Result<Vec<usize>> {
        let window = self.window()?;
        Ok(window.output[3 - self.input.len()..].to_vec())
    }

    /// Whether all sizes but that of the batch are the same.
    pub(crate) fn is_like(&self, other: &ConvShape) -> bool {
        let sizes = |shape: &ConvShape| [shape.in_channels, shape.out_channels, shape.groups];
        sizes(self) == sizes(other)
            && self.input == other.input
            && self.kernel == other.kernel
            && self.strides == other.strides
            && self.dilations == other.dilations
            && self.pads_begin == other.pads_begin
            && self.pads_end == other.pads_end
    }

    /// The number of elements of the input.
    pub fn input_len(&self) -> usize {
        product(&[&[self.batch, self.in_channels], &self.input])
    }

    /// The number of elements of the weights, `[out_channels, in_channels / groups, kernel…]`.
    pub fn weights_len(&self) -> usize {
        product(&[&[self.out_channels, self.in_channels / self.groups.max(1)], &self.kernel])
    }

    /// The number of elements of the output.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn output_len(&self) -> Result<usize> {
        Ok(product(&[&[self.batch, self.out_channels], &self.output()?]))
    }

    /// The sizes in the form that the kernels use.
    pub(crate) fn window(&self) -> Result<Window> {
        let rank = self.input.len();
        let input = spatial("the input", &self.input, rank, 1)?;
        let kernel = spatial("the kernel", &self.kernel, rank, 1)?;
        let strides = spatial("the strides", &self.strides, rank, 1)?;
        let dilations = spatial("the dilations", &self.dilations, rank, 1)?;
        let pads_begin = spatial("the pads before", &self.pads_begin, rank, 0)?;
        let pads_end = spatial("the pads after", &self.pads_end, rank, 0)?;
        expect_positive("kernel sizes", kernel)?;
        expect_positive("strides", strides)?;
        expect_positive("dilations", dilations)?;
        if self.groups == 0
            || !self.in_channels.is_multiple_of(self.groups)
            || !self.out_channels.is_multiple_of(self.groups)
        {
            let ConvShape { groups, in_channels, out_channels, .. } = self;
            return Err(Error::new(format!(
                "{groups} groups do not divide {in_channels} into {out_channels} channels"
            )));
        }
        let mut output = [0; 3];
        for axis in 0..3 {
            let padded = input[axis].saturating_add(pads_begin[axis]).saturating_add(pads_end[axis]);
            let reach = (kernel[axis] - 1).saturating_mul(dilations[axis]).saturating_add(1);
            let steps = padded.checked_sub(reach).filter(|_| padded < usize::MAX).ok_or_else(|| {
                Error::new(format!(
                    "a window that reaches over {reach} does not fit into {padded} padded positions"
                ))
            })?;
            output[axis] = steps / strides[axis] + 1;
        }
        Ok(Window { input, output, kernel, strides, dilations, pads_begin })
    }

    /// Whether each output channel uses one input channel, and few of them use the same one.
    pub(crate) fn is_depthwise(&self) -> bool {
        self.groups == self.in_channels && self.out_channels <= FEW_OUTPUTS.saturating_mul(self.groups)
    }

    pub(crate) fn group_in_channels(&self) -> usize {
        self.in_channels / self.groups
    }

    pub(crate) fn group_out_channels(&self) -> usize {
        self.out_channels / self.groups
    }
}

/// The largest number of output channels for each input channel; with more, a matrix product reads the input less
/// often.
const FEW_OUTPUTS: usize = 4;

/// The product of the sizes; it saturates if it exceeds the address space, to a length that no slice has.
fn product(sizes: &[&[usize]]) -> usize {
    sizes.concat().iter().fold(1, |product: usize, size| product.saturating_mul(*size))
}
