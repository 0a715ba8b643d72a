//! Requantization of the sums of an integer product to bytes: `saturate(round_half_even(sum · factor) + zero point)`,
//! in f32.
//!
//! The factor is `x scale · weight scale / y scale`, computed in this order, as ONNX Runtime does.

use crate::real::numbers;
use intact8_ir::{DType, Error, Result, Tensor};
use intact8_kernels::gemm_integer::Bytes;

/// The scales of a tensor: floats of at most 32 bits.
pub(super) fn scales(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(numbers::<f32>(tensor, tensor.dtype())?.into_owned())
}

/// The single number in a tensor.
pub(super) fn only<T: Copy>(what: &str, values: &[T]) -> Result<T> {
    match values {
        [value] => Ok(*value),
        _ => Err(Error::invalid_data(format!("expected one {what}, found {}", values.len()))),
    }
}

/// The elements of a tensor of bytes.
pub(super) fn bytes(tensor: &Tensor) -> Result<Bytes<'_>> {
    match tensor.dtype() {
        DType::U8 => Ok(Bytes::U8(tensor.values()?)),
        DType::I8 => Ok(Bytes::I8(tensor.values()?)),
        other => Err(Error::unsupported(format!("no kernel for quantized operands of {other}"))),
    }
}

/// The zero points of an operand, which must have its type.
pub(super) fn zero_points(tensor: &Tensor, operand: DType) -> Result<Vec<i32>> {
    crate::real::expect_type(tensor, operand)?;
    let bytes = bytes(tensor)?;
    Ok((0..bytes.len()).map(|idx| bytes.at(idx)).collect())
}
