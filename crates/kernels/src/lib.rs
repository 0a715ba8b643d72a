//! fp32 and int8 computation on plain slices: for each operation one simple reference and several faster kernels.
//!
//! The crate has no graph, no tensor type and no file format: sizes and strides are arguments, results are written to
//! slices.
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
//! **Tables.** Every operation has a table of the kernels that the machine can run, best first and the reference last:
//! [`gemm::kernels`], [`gemm_integer::kernels`], [`conv::kernels`],
//! [`conv_blocked::kernels`], [`conv_bytes::kernels`] (of [`gemm_bytes`] too), [`conv_integer::kernels`],
//! [`conv_transpose::kernels`], and [`loops::kernels`] for operations in plain loops.
//! The functions named after the operations use the first kernel; tests and benches run all of them.
//!
//! **Bits.** Integer kernels are exact.
//! fp32 results depend only on the operands: not on threads, surrounding shapes or tiles, and not on the kernel if it
//! is marked `fused`.
//! Machines without fused multiply-add may compute other bits, since their portable kernels round twice.
//!
//! **Sizes.** Convolutions and pools check all sizes that come from a model and return an [`Error`];
//! matrices, and slices whose length the caller computes, are asserted.
//!
//! **Unsafe code** is only in the files named after instruction sets.

pub mod blocked;
pub mod chain;
pub mod conv;
pub mod conv_blocked;
pub mod conv_bytes;
pub mod conv_integer;
pub mod conv_transpose;
pub mod elementwise;
pub mod epilogue;
pub mod error;
pub mod gemm;
pub mod gemm_bytes;
pub mod gemm_integer;
pub mod isa;
pub mod layer_norm;
pub mod lookup;
pub mod loops;
pub mod matrix;
pub mod peak;
pub mod pool;
pub mod pool_blocked;
pub mod pool_bytes;
pub mod quantize;
pub mod reduce;
pub mod softmax;
pub mod transpose;

mod buffer;
mod byte_tile;
mod parallel;
mod sliding;
mod window;

pub use error::{Error, Result};
