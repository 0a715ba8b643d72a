//! One step of an LSTM or a GRU with the usual functions, sigmoid and tanh: a product with packed recurrence weights,
//! then all gates in one pass.
//!
//! The caller computes the contributions of the inputs and biases to the gates, for all steps in one product, and has
//! the loop over the steps.
//! Weights and gates are in the order of ONNX.
//! The bits are those of a [product](crate::gemm) and of [`elementwise`](crate::elementwise) functions.

mod gru;
mod lstm;

pub use gru::Gru;
pub use lstm::Lstm;

/// The approximate number of operations per element of a state, besides those of the product.
const COST: usize = 64;
