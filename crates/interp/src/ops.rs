//! The table of operators: one row for each operator, one file for each family.

use crate::op::{OpRow, describe};
use intact8_ir::{Error, Op, Result};

mod activation;
mod attention;
mod binary;
mod cast;
mod concat;
mod contrib_fused;
mod contrib_quantized;
mod control;
mod conv;
mod conv_quantized;
mod conv_transpose;
mod detection;
mod einsum;
mod gather;
mod generate;
mod grid;
mod logic;
mod loss;
pub(crate) mod lowered;
mod matmul;
mod matmul_quantized;
mod ml;
mod normalize;
mod optional;
mod pad;
mod pool;
mod quantize;
mod random;
mod recurrent;
mod reduce;
mod requantize;
mod resize;
mod running;
mod scatter;
mod search;
mod select;
mod sequence;
mod shape;
mod signal;
mod slice;
mod softmax;
mod taps;
mod text;
mod transpose;
mod unary;

/// The families of each domain.
pub(crate) static OPS: &[(&str, &[&[OpRow]])] = &[
    (
        "",
        &[
            activation::ROWS,
            attention::ROWS,
            binary::ROWS,
            cast::ROWS,
            concat::ROWS,
            contrib_fused::ROWS_OF_ONNX,
            control::ROWS,
            conv::ROWS,
            conv_quantized::ROWS,
            conv_transpose::ROWS,
            detection::ROWS,
            einsum::ROWS,
            gather::ROWS,
            generate::ROWS,
            grid::ROWS,
            logic::ROWS,
            loss::ROWS,
            matmul::ROWS,
            matmul_quantized::ROWS,
            normalize::ROWS,
            optional::ROWS,
            pad::ROWS,
            pool::ROWS,
            quantize::ROWS,
            random::ROWS,
            recurrent::ROWS,
            reduce::ROWS,
            resize::ROWS,
            running::ROWS,
            scatter::ROWS,
            search::ROWS,
            select::ROWS,
            sequence::ROWS,
            shape::ROWS,
            signal::ROWS,
            slice::ROWS,
            softmax::ROWS,
            text::ROWS,
            transpose::ROWS,
            unary::ROWS,
        ],
    ),
    ("ai.onnx.ml", &[ml::ROWS]),
    ("ai.onnx.preview", &[attention::PREVIEW_ROWS]),
    ("com.microsoft", &[attention::ROWS_OF_MICROSOFT, contrib_fused::ROWS, contrib_quantized::ROWS]),
];

/// The row of an operator in a version of its domain.
pub(crate) fn find(op: &Op, opset: i64) -> Result<&'static OpRow> {
    let families =
        OPS.iter().filter(|(domain, _)| *domain == op.domain).flat_map(|(_, families)| families.iter());
    let mut rows = families.flat_map(|rows| rows.iter()).filter(|row| row.name == op.name);
    rows.find(|row| row.opsets.contains(&opset))
        .ok_or_else(|| Error::unsupported(format!("no kernel for {}", describe(op, opset))))
}
