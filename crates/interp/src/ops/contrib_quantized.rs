//! Quantized operators of `com.microsoft`. The integers equal those of ONNX Runtime.

mod arithmetic;
mod block_weights;
mod coding;
mod gather;
mod mapped;
mod pools;
mod products;

use super::quantize::{QUANTIZED, dequantize, quantize};
use crate::op::OpRow;
use intact8_ir::DType;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::since(1, "DequantizeLinear", QUANTIZED, dequantize),
    OpRow::since(1, "DynamicQuantizeMatMul", &[DType::F32], products::dynamic_mat_mul),
    OpRow::since(1, "GatherBlockQuantized", &[DType::U8, DType::I4, DType::U4], gather::gather),
    OpRow::since(1, "MatMulIntegerToFloat", BYTES, products::mat_mul_to_float),
    OpRow::since(1, "MatMulNBits", &[DType::F32, DType::F16, DType::Bf16], block_weights::mat_mul),
    OpRow::since(1, "QGemm", BYTES, products::gemm),
    OpRow::since(1, "QLinearAdd", BYTES, |_| Ok(arithmetic::add())),
    OpRow::since(1, "QLinearAveragePool", BYTES, pools::average),
    OpRow::since(1, "QLinearConcat", &[DType::F32], mapped::concat),
    OpRow::since(1, "QLinearGlobalAveragePool", BYTES, pools::global_average),
    OpRow::since(1, "QLinearLeakyRelu", BYTES, mapped::leaky_relu),
    OpRow::since(1, "QLinearMul", BYTES, |_| Ok(arithmetic::mul())),
    OpRow::since(1, "QLinearSigmoid", BYTES, |_| Ok(mapped::sigmoid())),
    OpRow::since(1, "QLinearSoftmax", BYTES, mapped::softmax),
    OpRow::since(1, "QLinearWhere", &[DType::Bool], mapped::choose),
    OpRow::since(1, "QuantizeLinear", &[DType::F32, DType::F16], |ctx| quantize(ctx, Some(DType::F32))),
];

const BYTES: &[DType] = &[DType::I8, DType::U8];
