//! The stages of a model from preparation to files, each a value that is computed once:
//!
//! ```text
//! Model ── prepare ──▶ Prepared ── quantize ──▶ Quantized ── deploy ──▶ Deployed
//! ```
//!
//! Calibration is between [`Prepared`] and [`Quantized`]: it computes the [`Record`](crate::Record) by running the model.
//! It is in another crate, since this one runs nothing.

mod deployed;
mod prepared;
mod quantized;

pub use deployed::Deployed;
pub use prepared::{Preparation, Prepared};
pub use quantized::Quantized;
