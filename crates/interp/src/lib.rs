//! Makes a [`Model`](intact8_ir::Model) runnable, watchable, and replayable one node at a time.
//!
//! A [`Session`] is a model compiled: every operator resolved, its attributes read, its constants packed, the order
//! fixed. What cannot run fails when the session is made, or, where only the data can tell, with an error that names
//! node, operator, operator set and data type. It never changes a model and never touches a file. Sessions of models that
//! have constants in common can share what was made of them, see [`Interpreter`].
//!
//! ```
//! use intact8_interp::Session;
//! use intact8_ir::{Model, Tensor};
//!
//! let text = "model m opset 17\n%x = input : f32[N]\n%y = Relu(%x)\nreturn %y\n";
//! let session = Session::new(&text.parse::<Model>()?)?;
//! let outputs = session.run(&[Tensor::new(&[2], vec![-1.0f32, 2.0])])?;
//! assert_eq!(outputs[0].values::<f32>()?, [0.0, 2.0]);
//! # Ok::<(), intact8_ir::Error>(())
//! ```

#![allow(
    clippy::clone_on_copy,
    clippy::absurd_extreme_comparisons,
    reason = "a kernel is written once for all data types, of which some are Copy and some unsigned"
)]

mod axes;
mod blocks;
mod broadcast;
mod call;
mod catalogue;
mod compile;
mod context;
mod data;
mod floats;
mod fold_constants;
mod indices;
mod interpreter;
mod number;
mod op;
mod ops;
mod product;
mod program;
mod real;
mod room;
mod sampling;
mod session;
mod sharing;
mod spare;
mod stand_in;
mod strided;

pub use catalogue::{Operator, operators};
pub use context::Limits;
pub use data::{Data, Sequence};
pub use fold_constants::FoldConstants;
pub use intact8_ir::Tap;
pub use interpreter::Interpreter;
pub use session::{Input, Session};
