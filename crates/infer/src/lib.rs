//! Type and shape inference for the values of a model, without running it.
//!
//! [`infer()`] sets the type of every value as far as ONNX determines it: the element type, the rank, and each
//! dimension as a number or a symbol. A dimension that depends on data stays unknown and is reported as a [`Finding`]
//! with the reason.
//!
//! ```
//! use intact8_ir::Model;
//!
//! let mut model: Model = "\
//! model m opset 17
//! %x = input : f32[N,16,4,4]
//! %shape = const [0, -1] : i64[2]
//! %y = Reshape(%x, %shape)
//! return %y
//! "
//! .parse()?;
//! let inference = intact8_infer::infer(&mut model)?;
//! assert!(inference.changed && inference.findings.is_empty());
//! assert!(model.to_string().contains("%y = Reshape(%x, %shape) : f32[N,256]"));
//! # Ok::<(), intact8_ir::Error>(())
//! ```
//!
//! A computed dimension gets its formula as a symbol, such as `2*N+1`, or `(H+1)/2`, which is rounded down. Symbols of
//! the model are assumed to be at least 1, so the special cases of empty tensors are not inferred.
//!
//! The crate does not run models: it computes the elements of small tensors only, since models compute shapes with
//! them. Each operator is a row in the table of its family; see `ops.rs`.

mod data_type;
mod dim_expr;
mod fact;
mod finding;
mod infer_shapes;
mod inference_context;
mod merge;
mod names;
mod number;
mod ops;
mod row;
mod values;
mod walk;

pub use finding::{Finding, FindingKind, Inference};
pub use infer_shapes::{InferShapes, infer};
