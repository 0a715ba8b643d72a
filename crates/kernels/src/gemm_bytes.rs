//! Matrix product of quantized bytes with the result requantized where it is stored:
//! `C = epilogue(Σ (a - a_zero) · (b - b_zero))` in wrapping i32, for a constant right factor.
//!
//! It is the [convolution of bytes](crate::conv_bytes) with a window of one position: the rows of the left factor are
//! positions, its columns input channels.
//! A batch of products is a loop of the caller, or more rows if the right factor is the same.

pub use crate::conv_bytes::{Bytes, Epilogue, Kernel, Levels, Output, ZeroPoints};
pub use crate::gemm_integer::ByteMatrix;

use crate::conv::ConvShape;
use crate::conv_bytes::{self, PreparedConvBytes};
use crate::error::Result;

/// The right factor of a product of bytes, laid out for one kernel.
#[derive(Debug)]
pub struct PreparedGemmBytes {
    depth: usize,
    columns: usize,
    conv: PreparedConvBytes,
}

/// Prepares a right factor for the best kernel that supports it; zero points are one for all or one for each column.
///
/// # Errors
/// If the number of zero points does not match, or one is outside the type of the factor.
///
/// # Panics
/// If the slice is too short for the matrix.
pub fn prepare(right: ByteMatrix<'_>, zeros: ZeroPoints<'_>) -> Result<PreparedGemmBytes> {
    with_weights(right, |shape, weights| conv_bytes::prepare(shape, weights, zeros))
}

/// Prepares a right factor for one of the [kernels](conv_bytes::kernels); see [`prepare`].
///
/// # Errors
/// As [`prepare`], or if the kernel does not support the factor.
///
/// # Panics
/// As [`prepare`].
pub fn prepare_for(
    kernel: &'static Kernel,
    right: ByteMatrix<'_>,
    zeros: ZeroPoints<'_>,
) -> Result<PreparedGemmBytes> {
    with_weights(right, |shape, weights| kernel.prepare(shape, weights, zeros))
}

fn with_weights(
    right: ByteMatrix<'_>,
    prepare: impl FnOnce(&ConvShape, Bytes<'_>) -> Result<PreparedConvBytes>,
) -> Result<PreparedGemmBytes> {
    right.check("right factor");
    let (depth, columns) = (right.rows(), right.columns());
    let shape = shape(0, depth, columns);
    let order = (0..columns).flat_map(|column| (0..depth).map(move |p| (p, column)));
    let conv = match right {
        ByteMatrix::U8(matrix) => {
            let weights: Vec<u8> = order.map(|(p, column)| matrix.at(p, column)).collect();
            prepare(&shape, Bytes::U8(&weights))?
        }
        ByteMatrix::I8(matrix) => {
            let weights: Vec<i8> = order.map(|(p, column)| matrix.at(p, column)).collect();
            prepare(&shape, Bytes::I8(&weights))?
        }
    };
    Ok(PreparedGemmBytes { depth, columns, conv })
}

/// A product as a convolution of `rows` positions.
fn shape(rows: usize, depth: usize, columns: usize) -> ConvShape {
    ConvShape {
        batch: rows,
        in_channels: depth,
        out_channels: columns,
        groups: 1,
        input: vec![1],
        kernel: vec![1],
        strides: vec![1],
        dilations: vec![1],
        pads_begin: vec![0],
        pads_end: vec![0],
    }
}

impl PreparedGemmBytes {
    /// Multiplies: left `[rows, depth]`, output `[rows, columns]`, both dense; bias and factors by column.
    ///
    /// # Errors
    /// If the length of a slice does not match the sizes, the zero point is outside the left factor's type, or the
    /// smallest level of the output exceeds the largest.
    pub fn run(
        &self,
        rows: usize,
        left: Bytes<'_>,
        left_zero: i32,
        epilogue: Epilogue<'_>,
        output: Output<'_>,
    ) -> Result<()> {
        self.conv.run(&shape(rows, self.depth, self.columns), left, left_zero, epilogue, output)
    }
}
