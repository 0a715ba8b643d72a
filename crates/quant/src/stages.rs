//! The stages of a model on its way to files, each a value that is made once and passed on:
//!
//! ```text
//! Model ── prepare ──▶ Prepared ── quantize ──▶ Quantized ── deploy ──▶ Deployed
//! ```
//!
//! Between [`Prepared`] and [`Quantized`] stands calibration, which finds the [`Record`](crate::Record) by running the
//! model; it is not done here, since this crate runs nothing.

mod deployed;
mod prepared;
mod quantized;

pub use deployed::Deployed;
pub use prepared::{Preparation, Prepared};
pub use quantized::Quantized;
