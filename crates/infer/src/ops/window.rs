//! Sliding windows of convolutions and pools: the number of positions in a dimension.

use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, Stop};
use intact8_ir::{Padding, WindowAttributes};

/// A sliding window over the spatial dimensions.
pub(super) struct Window {
    pub(super) kernel: Vec<DimExpr>,
    pub(super) strides: Vec<usize>,
    pub(super) dilations: Vec<usize>,
    pub(super) padding: Padding,
}

impl Window {
    /// Reads `kernel_shape`, `strides`, `dilations`, `pads` and `auto_pad` for `n_dims` spatial dimensions. `kernel` is
    /// the weight's, if there is one.
    pub(super) fn read(
        ctx: &InferenceContext<'_>,
        n_dims: usize,
        kernel: Option<&[DimExpr]>,
    ) -> Inferred<Window> {
        let WindowAttributes { kernel: stated, strides, dilations, padding } = WindowAttributes::of(ctx.op)?;
        let stated = sized("kernel_shape", stated, n_dims)?;
        let stated = stated.map(|kernel| kernel.into_iter().map(known).collect::<Shape>());
        let kernel = stated.or_else(|| kernel.map(<[DimExpr]>::to_vec));
        let kernel = kernel.ok_or_else(|| Stop::wrong("attribute kernel_shape is missing"))?;
        let ones = || vec![1; n_dims];
        let strides = sized("strides", strides, n_dims)?.unwrap_or_else(ones);
        let dilations = sized("dilations", dilations, n_dims)?.unwrap_or_else(ones);
        let padding = match padding {
            Padding::Explicit(pads) => Padding::Explicit(sized("pads", pads, 2 * n_dims)?),
            padding => padding,
        };
        Ok(Window { kernel, strides, dilations, padding })
    }

    /// The sum of the pads of a dimension.
    pub(super) fn pads(&self, idx: usize) -> DimExpr {
        match &self.padding {
            Padding::Explicit(Some(pads)) => &known(pads[idx]) + &known(pads[idx + pads.len() / 2]),
            _ => DimExpr::known(0),
        }
    }

    fn pad_begin(&self, idx: usize) -> DimExpr {
        match &self.padding {
            Padding::Explicit(Some(pads)) => known(pads[idx]),
            _ => DimExpr::known(0),
        }
    }

    /// The length that the window covers: `dilation · (kernel - 1) + 1`.
    pub(super) fn reach(&self, idx: usize) -> DimExpr {
        let one = DimExpr::known(1);
        &(&known(self.dilations[idx]) * &(&self.kernel[idx] - &one)) + &one
    }

    /// The number of windows over a dimension of that length; `ceil` counts one that is not covered in full,
    /// unless it starts after the input.
    pub(super) fn count(&self, idx: usize, input: &DimExpr, ceil: bool) -> DimExpr {
        let (one, stride) = (DimExpr::known(1), self.strides[idx] as i64);
        if matches!(self.padding, Padding::Same { .. }) {
            return input.ceil_div(stride);
        }
        let way = &(input + &self.pads(idx)) - &self.reach(idx);
        if !ceil || self.padding == Padding::Valid {
            return &way.floor_div(stride) + &one;
        }
        let last = way.ceil_div(stride);
        let (start, end) = (&last * &DimExpr::known(stride), input + &self.pad_begin(idx));
        if start.is_at_least(&end) {
            last
        } else if end.is_at_least(&(&start + &one)) {
            &last + &one
        } else {
            DimExpr::UNKNOWN
        }
    }

    /// The spatial dimensions of the output.
    pub(super) fn counts(&self, input: &[DimExpr], ceil: bool) -> Shape {
        input.iter().enumerate().map(|(idx, length)| self.count(idx, length, ceil)).collect()
    }
}

/// The sizes of an attribute, if there is one, which must be `n_expected`.
pub(super) fn sized(
    name: &str,
    sizes: Option<Vec<usize>>,
    n_expected: usize,
) -> Inferred<Option<Vec<usize>>> {
    let Some(sizes) = sizes else { return Ok(None) };
    let found = sizes.len();
    match found == n_expected {
        true => Ok(Some(sizes)),
        false => Err(Stop::wrong(format!("{name} must have {n_expected} elements, found {found}"))),
    }
}

/// A size as a length. Sizes of attributes are small.
pub(super) fn known(size: usize) -> DimExpr {
    DimExpr::known(size as i64)
}
