//! Quantization and its inverse.

use super::elementwise::same;
use crate::data_type;
use crate::inference_context::{InferenceContext, Inferred};
use crate::row::ElementType::{By, Is};
use crate::row::OpRow;
use intact8_ir::DType::{self, F32, U8};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("DequantizeLinear", &[By(dequantized)], same),
    OpRow::tensors("DynamicQuantizeLinear", &[Is(U8), Is(F32), Is(U8)], |ctx| {
        let shape = ctx.shape_if_known(0)?.map(<[_]>::to_vec);
        Ok(vec![shape, Some(vec![]), Some(vec![])])
    }),
    OpRow::tensors("QuantizeLinear", &[By(quantized)], same),
];

/// The type of the zero point, or the one in an attribute, or u8.
pub(super) fn quantized(ctx: &InferenceContext<'_>) -> Inferred<Option<DType>> {
    match ctx.fact(2) {
        Some(_) => Ok(ctx.dtype(2)),
        None => Ok(data_type::of_attribute(ctx, "output_dtype")?.or(Some(U8))),
    }
}

/// The type of the scale, unless an attribute names another.
pub(super) fn dequantized(ctx: &InferenceContext<'_>) -> Inferred<Option<DType>> {
    Ok(data_type::of_attribute(ctx, "output_dtype")?.or(ctx.dtype(1)))
}
