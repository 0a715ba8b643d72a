//! Types and shapes of a model's values, before anything runs.
//!
//! [`infer()`] fills in the type of every value as far as ONNX determines it: the element type, the number of
//! dimensions, and each dimension as a number or a symbol. What can't be known is left open and told, with the reason.
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
//! A length that is computed gets a symbol that says how, such as `2*N+1`, or `(H+1)/2`, which is rounded down. A symbol
//! of the model is taken to be at least 1: what is true of empty tensors only is not inferred.
//!
//! Nothing runs here: the only elements that are computed are those of small tensors of which shapes are made.
//! An operator is a row in the table of its family; see `ops.rs`.

mod data_type;
mod fact;
mod finding;
mod infer_shapes;
mod length;
mod merge;
mod names;
mod number;
mod ops;
mod row;
mod site;
mod values;
mod walk;

pub use finding::{Finding, FindingKind, Inference};
pub use infer_shapes::{InferShapes, infer};
