//! Sliding windows of convolutions and pools: the number of positions in a dimension.

use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, Stop};

/// A sliding window over the spatial dimensions.
pub(super) struct Window {
    pub(super) kernel: Vec<DimExpr>,
    pub(super) strides: Vec<i64>,
    pub(super) dilations: Vec<i64>,
    pub(super) padding: Padding,
}

pub(super) enum Padding {
    /// Before each dimension, then after each.
    Explicit(Vec<i64>, Vec<i64>),
    /// The number of outputs is that of the inputs divided by the stride, rounded up.
    Same,
    Valid,
}

impl Window {
    /// Reads `kernel_shape`, `strides`, `dilations`, `pads` and `auto_pad` for `n_dims` spatial dimensions. `kernel` is
    /// the size in the weight, if there is a weight.
    pub(super) fn read(
        ctx: &InferenceContext<'_>,
        n_dims: usize,
        kernel: Option<&[DimExpr]>,
    ) -> Inferred<Window> {
        let stated = list(ctx, "kernel_shape", n_dims)?;
        let stated = stated.map(|kernel| kernel.into_iter().map(DimExpr::known).collect::<Shape>());
        let kernel = stated.or_else(|| kernel.map(<[DimExpr]>::to_vec));
        let kernel = kernel.ok_or_else(|| Stop::wrong("attribute kernel_shape is missing"))?;
        let ones = || vec![1; n_dims];
        let strides = list(ctx, "strides", n_dims)?.unwrap_or_else(ones);
        let dilations = list(ctx, "dilations", n_dims)?.unwrap_or_else(ones);
        if let Some(wrong) = strides.iter().chain(&dilations).find(|&&step| step < 1) {
            return Err(Stop::wrong(format!("strides and dilations must be positive, found {wrong}")));
        }
        let padding = match ctx.str("auto_pad", "NOTSET")? {
            "NOTSET" | "" => {
                let mut begin = list(ctx, "pads", 2 * n_dims)?.unwrap_or_else(|| vec![0; 2 * n_dims]);
                let end = begin.split_off(n_dims);
                Padding::Explicit(begin, end)
            }
            "SAME_UPPER" | "SAME_LOWER" => Padding::Same,
            "VALID" => Padding::Valid,
            other => return Err(Stop::wrong(format!("auto_pad {other:?} is not defined by ONNX"))),
        };
        Ok(Window { kernel, strides, dilations, padding })
    }

    /// The sum of the pads of a dimension.
    pub(super) fn pads(&self, idx: usize) -> DimExpr {
        match &self.padding {
            Padding::Explicit(begin, end) => &DimExpr::known(begin[idx]) + &DimExpr::known(end[idx]),
            Padding::Same | Padding::Valid => DimExpr::known(0),
        }
    }

    /// The extent of the window: `dilation · (kernel - 1) + 1`.
    pub(super) fn reach(&self, idx: usize) -> DimExpr {
        let one = DimExpr::known(1);
        &(&DimExpr::known(self.dilations[idx]) * &(&self.kernel[idx] - &one)) + &one
    }

    /// The number of positions in a dimension; with `ceil` a window that exceeds the padded input counts too, unless it
    /// starts after the input.
    pub(super) fn count(&self, idx: usize, input: &DimExpr, ceil: bool) -> DimExpr {
        let (one, stride) = (DimExpr::known(1), self.strides[idx]);
        if matches!(self.padding, Padding::Same) {
            return input.ceil_div(stride);
        }
        let way = &(input + &self.pads(idx)) - &self.reach(idx);
        let Padding::Explicit(begin, _) = &self.padding else { return &way.floor_div(stride) + &one };
        if !ceil {
            return &way.floor_div(stride) + &one;
        }
        let last = way.ceil_div(stride);
        let (start, end) = (&last * &DimExpr::known(stride), input + &DimExpr::known(begin[idx]));
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

/// The integers of an optional attribute with the required length `n_wanted`.
pub(super) fn list(ctx: &InferenceContext<'_>, name: &str, n_wanted: usize) -> Inferred<Option<Vec<i64>>> {
    let Some(list) = ctx.op.ints(name)? else { return Ok(None) };
    let found = list.len();
    match found == n_wanted {
        true => Ok(Some(list.to_vec())),
        false => Err(Stop::wrong(format!("{name} must have {n_wanted} elements, found {found}"))),
    }
}
