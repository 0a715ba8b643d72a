//! fp32 and int8 compute on plain slices: one obvious reference for each operation, faster kernels beside it.
//!
//! Knows no graph, no tensor type and no file format: sizes and strides come as arguments, results go into slices.
//!
//! ```
//! use intact8_kernels::gemm::{Init, Left, Right, gemm};
//! use intact8_kernels::matrix::{Matrix, MatrixMut};
//!
//! let (a, b, mut c) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [0.0; 4]);
//! let left = Left::Plain(Matrix::row_major(&a, 2, 2));
//! let right = Right::Plain(Matrix::row_major(&b, 2, 2).transposed());
//! gemm(left, right, Init::Rows(&[0.5, 0.25]), MatrixMut::row_major(&mut c, 2, 2));
//! assert_eq!(c, [17.5, 23.5, 39.25, 53.25]);
//! ```
//!
//! **Tables.** Every operation has a table of kernels, best first and its reference last, made once of what the machine
//! can run: [`gemm::kernels`], [`gemm_integer::kernels`], [`conv::kernels`], [`conv_integer::kernels`],
//! [`conv_transpose::kernels`], and [`loops::kernels`] for all that is plain loops.
//! The functions named like the operations take the first; tests and benches go through all.
//!
//! **Bits.** Integer kernels are exact.
//! fp32 results depend on the operands only: not on threads, shapes around them, or tiles, and not on the kernel
//! where it is marked `fused` or is plain loops.
//! What is not promised are equal bits on machines without fused multiply-add, whose portable kernels round twice.
//!
//! **Sizes.** Convolutions and pools check what a model could get wrong and return an [`Error`];
//! matrices and slices of a length that the caller computed are asserted.
//!
//! **Unsafe code** is confined to the files named after instruction sets.

pub mod conv;
pub mod conv_integer;
pub mod conv_transpose;
pub mod elementwise;
pub mod error;
pub mod gemm;
pub mod gemm_integer;
pub mod isa;
pub mod layer_norm;
pub mod loops;
pub mod matrix;
pub mod pool;
pub mod quantize;
pub mod reduce;
pub mod softmax;
pub mod transpose;

mod buffer;
mod parallel;
mod sliding;
mod window;

pub use error::{Error, Result};
