//! Pooling of quantized operands: bytes, their scale and zero point, and those of the result.

use super::super::contrib_fused::part::{OPSET, part, run};
use super::coding::Coding;
use crate::number::unexpected;
use crate::op::{CompileContext, Kernel, one};
use intact8_ir::{Error, Op, Result, Tensor, with_element};
use intact8_kernels::quantize::{Integer, requantize};

/// Computed in f32.
pub(super) fn average(ctx: &CompileContext<'_>) -> Result<Kernel> {
    expect_channels_first(ctx)?;
    if ctx.flag("ceil_mode", false)? && ctx.flag("count_include_pad", false)? {
        // Here ONNX Runtime divides by the whole window, unlike ONNX.
        return Err(ctx.unsupported("ceil_mode and count_include_pad at once"));
    }
    let op = Op { domain: String::new(), name: "AveragePool".to_owned(), ..ctx.op.clone() };
    let pool = part(ctx, &op, OPSET, &[None])?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        call.reserve::<f32>(x.shape())?;
        with_element!(x.dtype(), [I8 U8], T => {
            let (from, to) = (Coding::<T>::read(call, 1, 2)?, Coding::<T>::read(call, 3, 4)?);
            let x = Tensor::new(x.shape(), from.numbers(x.values()?));
            let y = run(&pool, x, call)?;
            let mut out = call.zeros::<T>(y.shape())?;
            to.bytes(y.values()?, &mut out);
            one(Tensor::new(y.shape(), out))
        }, other => Err(unexpected(other)))
    }))
}

/// Sums of integers, multiplied by `x scale / (y scale · elements)`.
pub(super) fn global_average(ctx: &CompileContext<'_>) -> Result<Kernel> {
    expect_channels_first(ctx)?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let [batch, channels, plane @ ..] = x.shape() else {
            return Err(Error::invalid_data(format!("the input must not have the shape {:?}", x.shape())));
        };
        let mut shape = vec![*batch, *channels];
        shape.resize(x.shape().len(), 1);
        let plane_len = plane.iter().product::<usize>();
        with_element!(x.dtype(), [I8 U8], T => {
            let (from, to) = (Coding::<T>::read(call, 1, 2)?, Coding::<T>::read(call, 3, 4)?);
            let mut out = call.zeros::<T>(&shape)?;
            let zero = i64::from(from.zero.to_i32());
            let sum = |plane: &[T]| plane.iter().map(|x| i64::from(x.to_i32()) - zero).sum::<i64>();
            let too_large = |_| Error::limit(format!("the sum of {plane_len} bytes may overflow"));
            let planes = x.values::<T>()?.chunks_exact(plane_len.max(1));
            let sums: Vec<i32> =
                planes.map(|plane| i32::try_from(sum(plane)).map_err(too_large)).collect::<Result<_>>()?;
            let factor = from.scale / (to.scale * plane_len as f32);
            requantize(0, factor, to.zero, &sums, &mut out[..sums.len()]);
            one(Tensor::new(&shape, out))
        }, other => Err(unexpected(other)))
    }))
}

fn expect_channels_first(ctx: &CompileContext<'_>) -> Result<()> {
    match ctx.flag("channels_last", false)? {
        true => Err(ctx.unsupported("channels in the last dimension")),
        false => Ok(()),
    }
}
