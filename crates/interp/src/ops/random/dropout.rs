//! Dropout: the identity, except in training.

use super::super::requantize::only;
use super::Mersenne;
use crate::number::{Number, unexpected, with_float};
use crate::op::{CompileContext, Kernel, Outputs};

use crate::sampling::samples;
use intact8_ir::{DType, Error, Result, Tensor, with_element};

/// The types of Dropout.
pub(super) const DROPPED: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::Bf16,
    DType::F8E4M3Fn,
    DType::F8E4M3Fnuz,
    DType::F8E5M2,
    DType::F8E5M2Fnuz,
];

/// Before opset 12 there is no training mode. The mask is boolean from opset 10 on.
pub(super) fn identity(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (has_mask, is_boolean) = (ctx.has_output(1), ctx.opset >= 10);
    Ok(Box::new(move |call| {
        let x = call.take(0)?;
        let shape = x.shape().to_vec();
        let mask = match (has_mask, is_boolean) {
            (false, _) => None,
            (true, true) => Some(Tensor::new(&shape, vec![true; call.reserve::<bool>(&shape)?])),
            (true, false) => with_float!(x.dtype(), T => {
                Ok(Some(Tensor::new(&shape, vec![T::ONE; call.reserve::<T>(&shape)?])))
            })?,
        };
        Ok(with_mask(x, mask))
    }))
}

/// In training mode, elements are dropped with a probability, and the others are scaled to keep the mean.
pub(super) fn dropout(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (has_mask, seed) = (ctx.has_output(1), ctx.int("seed", 0)? as u32);
    Ok(Box::new(move |call| {
        let ratio = match call.optional(1)? {
            Some(ratio) => only("ratio", &samples::<f64>(ratio)?)?,
            None => 0.5,
        };
        let is_training = match call.optional(2)? {
            Some(mode) => only("training_mode", mode.values::<bool>()?)?,
            None => false,
        };
        let mut x = call.take(0)?;
        let shape = x.shape().to_vec();
        let n = call.reserve::<bool>(&shape)?;
        if !is_training || ratio == 0.0 {
            return Ok(with_mask(x, has_mask.then(|| Tensor::new(&shape, vec![true; n]))));
        }
        if !(0.0..1.0).contains(&ratio) {
            return Err(Error::invalid_data(format!(
                "the ratio must be at least 0 and below 1, found {ratio}"
            )));
        }
        let mut random = Mersenne::new(seed);
        let kept: Vec<bool> = (0..n).map(|_| random.uniform() >= ratio).collect();
        with_element!(x.dtype(), [F32 F64 F16 Bf16], T => {
            call.reserve::<T>(&shape)?;
            let scale = 1.0 / (1.0 - ratio);
            for (x, is_kept) in x.values_mut::<T>()?.iter_mut().zip(&kept) {
                *x = if *is_kept { T::from_f64(x.to_f64() * scale) } else { T::ZERO };
            }
        }, other => return Err(unexpected(other)));
        Ok(with_mask(x, has_mask.then(|| Tensor::new(&shape, kept))))
    }))
}

fn with_mask(x: Tensor, mask: Option<Tensor>) -> Outputs {
    [Some(x), mask].into_iter().flatten().map(Into::into).collect()
}
