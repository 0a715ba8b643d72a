//! Quantization and its inverse.

use super::elementwise::same;
use crate::data_type;
use crate::row::ElementType::{By, Is};
use crate::row::OpRow;
use crate::site::{Inferred, Site};
use intact8_ir::DType::{self, F32, U8};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("DequantizeLinear", &[By(dequantized)], same),
    OpRow::tensors("DynamicQuantizeLinear", &[Is(U8), Is(F32), Is(U8)], |site| {
        let shape = site.shape_if_known(0)?.map(<[_]>::to_vec);
        Ok(vec![shape, Some(vec![]), Some(vec![])])
    }),
    OpRow::tensors("QuantizeLinear", &[By(quantized)], same),
];

/// The zero point's type, or else the one that an attribute names, or unsigned bytes.
pub(super) fn quantized(site: &Site<'_>) -> Inferred<Option<DType>> {
    match site.fact(2) {
        Some(_) => Ok(site.dtype(2)),
        None => Ok(data_type::of_attribute(site, "output_dtype")?.or(Some(U8))),
    }
}

/// The scale's type, unless an attribute names another.
pub(super) fn dequantized(site: &Site<'_>) -> Inferred<Option<DType>> {
    Ok(data_type::of_attribute(site, "output_dtype")?.or(site.dtype(1)))
}
