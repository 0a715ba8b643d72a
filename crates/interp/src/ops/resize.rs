//! Resize, and its predecessor Upsample.

mod coordinates;
mod geometry;
mod interpolate;
mod nearest;

use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use crate::sampling::by_parts;
use coordinates::{Coordinates, Rounding};
use geometry::{Geometry, Policy};
use intact8_ir::{DType, Error, Result, Tensor};
use interpolate::{Curve, Filter, interpolate};
use nearest::nearest;

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Resize", opsets: 10..=NEWEST, types: &[], compile: resize },
    OpRow { name: "Upsample", opsets: 7..=9, types: &[], compile: resize },
];

/// The interpolation of an output element from its neighbours in the input.
enum Mode {
    Nearest(Rounding),
    Filtered(Filter),
}

/// Before opset 11 there are only scales, by which coordinates are divided.
fn resize(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let is_old = ctx.opset < 11;
    let coordinates = match ctx.str("coordinate_transformation_mode", "half_pixel")? {
        _ if is_old => Coordinates::Asymmetric,
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNearest,
        "tf_crop_and_resize" => Coordinates::TfCropAndResize,
        other => return Err(unknown("coordinate_transformation_mode", other)),
    };
    let policy = match ctx.str("keep_aspect_ratio_policy", "stretch")? {
        "stretch" => Policy::Stretch,
        "not_larger" => Policy::NotLarger,
        "not_smaller" => Policy::NotSmaller,
        other => return Err(unknown("keep_aspect_ratio_policy", other)),
    };
    let mode = mode(ctx, is_old)?;
    let extrapolation = ctx.float("extrapolation_value", 0.0)?;
    let (axes, fixed_scales) = (ctx.ints("axes")?, ctx.op.floats("scales")?.map(<[f32]>::to_vec));
    let (roi_slot, scales_slot) = if is_old { (usize::MAX, 1) } else { (1, 2) };
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let scales = match &fixed_scales {
            Some(scales) => Some(scales.as_slice()),
            None => call.optional(scales_slot)?.map(Tensor::values).transpose()?,
        };
        let sizes = call.optional(3)?.map(Tensor::values).transpose()?;
        let roi = call.optional(roi_slot)?.filter(|_| coordinates == Coordinates::TfCropAndResize);
        let geometry = Geometry { shape: x.shape(), axes: axes.as_deref(), policy };
        let axes = geometry.axes(scales, sizes, roi)?;
        match &mode {
            Mode::Nearest(rounding) => one(nearest(x, &axes, coordinates, *rounding, extrapolation, call)?),
            Mode::Filtered(filter) => {
                one(by_parts(x, |x| interpolate(x, &axes, coordinates, filter, extrapolation, call))?)
            }
        }
    }))
}

fn mode(ctx: &CompileContext<'_>, is_old: bool) -> Result<Mode> {
    let curve = match ctx.str("mode", "nearest")? {
        "nearest" => {
            let rounding = match ctx.str("nearest_mode", "round_prefer_floor")? {
                _ if is_old => Rounding::OutwardIfSmaller,
                "round_prefer_floor" => Rounding::PreferFloor,
                "round_prefer_ceil" => Rounding::PreferCeil,
                "floor" => Rounding::Floor,
                "ceil" => Rounding::Ceil,
                other => return Err(unknown("nearest_mode", other)),
            };
            return Ok(Mode::Nearest(rounding));
        }
        "linear" | "bilinear" => Curve::Linear,
        "cubic" => Curve::Cubic(f64::from(ctx.float("cubic_coeff_a", -0.75)?)),
        other => return Err(unknown("mode", other)),
    };
    let (exclude_outside, antialias) = (ctx.flag("exclude_outside", false)?, ctx.flag("antialias", false)?);
    Ok(Mode::Filtered(Filter { curve, exclude_outside, antialias }))
}

fn unknown(attribute: &str, value: &str) -> Error {
    Error::invalid_model(format!("{attribute} {value:?} is not defined by ONNX"))
}

/// A float as an element; an error if the type can't represent it.
fn element_of(dtype: DType, value: f32) -> Result<Tensor> {
    use crate::number::{Number, with_number};
    match dtype {
        DType::Bool => Ok(Tensor::scalar(value != 0.0)),
        DType::C64 => Ok(Tensor::scalar(intact8_ir::Complex { re: value, im: 0.0 })),
        DType::C128 => Ok(Tensor::scalar(intact8_ir::Complex { re: f64::from(value), im: 0.0 })),
        DType::Str => Err(Error::unsupported("no kernel for an extrapolation_value of strings")),
        dtype => with_number!(dtype, T => Ok(Tensor::scalar(T::from_f32(value)))),
    }
}
