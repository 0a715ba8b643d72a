//! Operators on features, the last dimension of a tensor: selection, concatenation, scaling.

use crate::blocks::Blocks;
use crate::call::Call;
use crate::indices::integers;
use crate::number::{Number, with_number};
use crate::op::{CompileContext, Kernel, one};
use intact8_ir::{Error, Result, Tensor};

/// The features at the positions in operand 1. A vector is a matrix of one row.
pub(super) fn extract(_: &CompileContext<'_>) -> Result<Kernel> {
    Ok(Box::new(|call| {
        let (x, positions) = (call.tensor(0)?, integers(call.tensor(1)?)?);
        let wrong = || {
            Error::invalid_data(format!(
                "positions {positions:?} are out of range for the shape {:?}",
                x.shape()
            ))
        };
        let (&n_features, outer) = x.shape().split_last().ok_or_else(wrong)?;
        let checked =
            |&position: &i64| usize::try_from(position).ok().filter(|&position| position < n_features);
        let starts: Vec<usize> = positions.iter().map(checked).collect::<Option<_>>().ok_or_else(wrong)?;
        let rows = if outer.is_empty() { &[1] } else { outer };
        let shape = [rows, &[starts.len()]].concat();
        let blocks = Blocks { outer: rows.iter().product(), outer_step: n_features, starts: &starts, len: 1 };
        one(blocks.read(x, &shape, call)?)
    }))
}

/// 1 above the threshold, otherwise 0.
pub(super) fn binarize(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let threshold = ctx.float("threshold", 0.0)?;
    Ok(Box::new(move |call| {
        let mut x = call.take(0)?;
        with_number!(x.dtype(), T => {
            let is_above = |value: &T| value.to_f64() > f64::from(threshold);
            x.values_mut::<T>()?.iter_mut().for_each(|x| *x = if is_above(x) { T::ONE } else { T::ZERO });
            Ok(())
        })?;
        one(x)
    }))
}

/// The concatenated features of each row, with the number of features of each operand in the attribute.
pub(super) fn vectorize(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let widths = ctx.ints("inputdimensions")?.unwrap_or_default();
    let widths: Option<Vec<usize>> = widths.into_iter().map(|width| usize::try_from(width).ok()).collect();
    let widths = widths.filter(|widths| widths.len() == ctx.operands.len()).ok_or_else(|| {
        Error::invalid_model("op FeatureVectorizer must have one of inputdimensions for each operand")
    })?;
    Ok(Box::new(move |call| {
        let parts: Vec<(Vec<f32>, [usize; 2])> =
            (0..widths.len()).map(|slot| matrix(call, slot)).collect::<Result<_>>()?;
        let n_rows = parts.first().map_or(0, |(_, [n_rows, _])| *n_rows);
        if parts.iter().any(|(_, shape)| shape[0] != n_rows) {
            return Err(Error::invalid_data("the operands do not have the same number of rows"));
        }
        let shape = [n_rows, widths.iter().fold(0usize, |sum, &width| sum.saturating_add(width))];
        let mut out = call.zeros::<f32>(&shape)?;
        for (row, out) in out.chunks_exact_mut(shape[1].max(1)).enumerate() {
            let mut rest = out;
            for ((values, [_, n]), &width) in parts.iter().zip(&widths) {
                let part;
                (part, rest) = rest.split_at_mut(width);
                let n_taken = width.min(*n);
                part[..n_taken].copy_from_slice(&values[row * n..][..n_taken]);
            }
        }
        one(Tensor::new(&shape, out))
    }))
}

/// Replaces one value by the imputed value of each feature.
pub(super) fn impute(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let of_floats: Vec<f64> =
        ctx.op.floats("imputed_value_floats")?.unwrap_or_default().iter().map(|&x| x.into()).collect();
    let of_integers = ctx.ints("imputed_value_int64s")?.unwrap_or_default();
    let (old_float, old_integer) =
        (ctx.float("replaced_value_float", 0.0)?, ctx.int("replaced_value_int64", 0)?);
    Ok(Box::new(move |call| {
        let mut x = call.take(0)?;
        let n_features = x.shape().last().copied().unwrap_or(1);
        with_number!(x.dtype(), T => {
            let (old, new): (T, Vec<T>) = if T::IS_INTEGER {
                // Through i128, which is exact where f64 is not.
                let fit = |value: i64| from_i64::<T>(value);
                (fit(old_integer), of_integers.iter().map(|&value| fit(value)).collect())
            } else {
                (T::from_f64(old_float.into()), of_floats.iter().map(|&value| T::from_f64(value)).collect())
            };
            if new.len() != 1 && new.len() != n_features || new.is_empty() {
                return Err(Error::invalid_data(format!("{} imputed values do not match {n_features} features", new.len())));
            }
            for row in x.values_mut::<T>()?.chunks_mut(n_features.max(1)) {
                for (value, new) in row.iter_mut().zip(new.iter().cycle()) {
                    if *value == old || (value.is_nan() && old.is_nan()) {
                        *value = *new;
                    }
                }
            }
            Ok(())
        })?;
        one(x)
    }))
}

/// Divides each row by its largest element, by the sum of its magnitudes, or by its length, unless that is 0.
pub(super) fn normalize(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let norm: fn(&[f32]) -> f32 = match ctx.str("norm", "MAX")? {
        "MAX" => |row| row.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        "L1" => |row| row.iter().map(|x| x.abs()).sum(),
        "L2" => |row| row.iter().map(|x| x * x).sum::<f32>().sqrt(),
        other => return Err(Error::invalid_model(format!("norm {other:?} is not defined by ONNX"))),
    };
    Ok(Box::new(move |call| {
        let (mut values, [_, n_features]) = matrix(call, 0)?;
        for row in values.chunks_exact_mut(n_features.max(1)) {
            let norm = norm(row);
            if norm != 0.0 {
                row.iter_mut().for_each(|x| *x /= norm);
            }
        }
        one(Tensor::new(call.tensor(0)?.shape(), values))
    }))
}

/// `(x - offset) * scale`, with one offset and scale for all features or for each feature.
pub(super) fn scale(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let list = |name| Ok(ctx.op.floats(name)?.unwrap_or_default().to_vec());
    let (offsets, scales): (Vec<f32>, Vec<f32>) = (list("offset")?, list("scale")?);
    if scales.is_empty() || scales.len() != offsets.len() {
        return Err(Error::invalid_model("op Scaler must have as many of scale as of offset"));
    }
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        if scales.len() != 1 && x.shape().last() != Some(&scales.len()) {
            let message = format!("{} scales do not match the shape {:?}", scales.len(), x.shape());
            return Err(Error::invalid_data(message));
        }
        let mut values = floats(x, call)?;
        for row in values.chunks_exact_mut(scales.len()) {
            row.iter_mut()
                .zip(&offsets)
                .zip(&scales)
                .for_each(|((x, offset), scale)| *x = (*x - offset) * scale);
        }
        one(Tensor::new(x.shape(), values))
    }))
}

/// The numbers as f32, the type of computation in this domain.
pub(super) fn floats(x: &Tensor, call: &Call<'_, '_>) -> Result<Vec<f32>> {
    call.reserve::<f32>(x.shape())?;
    with_number!(x.dtype(), T => Ok(x.values::<T>()?.iter().map(|value| value.to_f32()).collect()))
}

/// The numbers of an operand, and its shape; a vector is a row.
pub(super) fn matrix(call: &Call<'_, '_>, slot: usize) -> Result<(Vec<f32>, [usize; 2])> {
    let x = call.tensor(slot)?;
    let shape = match *x.shape() {
        [n_features] => [1, n_features],
        [n_rows, n_features] => [n_rows, n_features],
        ref shape => return Err(Error::invalid_data(format!("expected rows of features, found {shape:?}"))),
    };
    Ok((floats(x, call)?, shape))
}

/// An integer as another type, saturating.
fn from_i64<T: Number>(value: i64) -> T {
    // An f64 is exact up to 2^53; larger integers are converted in two halves.
    let (high, low) = (value >> 32, value & 0xffff_ffff);
    let base = T::from_f64(4_294_967_296.0);
    if high == 0 || base.to_f64() != 4_294_967_296.0 {
        return T::from_f64(value as f64);
    }
    T::from_f64(high as f64).mul(base).add(T::from_f64(low as f64))
}
