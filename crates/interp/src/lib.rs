//! The interpreter: runs a [`Model`](intact8_ir::Model) on tensors, and shows every value to an observer.
//!
//! A [`Session`] is a compiled model: operators are resolved, attributes read, constants packed, and the order is
//! fixed. Errors of the model are reported when the session is created, errors that depend on data when it runs; they
//! name node, operator, opset and data type. An [`Interpreter`] creates sessions that share kernels with the same
//! constants.
//!
//! The crate does not change models, except for the pass [`FoldConstants`], and does not access files.
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
    reason = "generic kernels are instantiated for all data types, some of which are Copy and some unsigned"
)]

mod axes;
mod blocks;
mod broadcast;
mod buffer_pool;
mod call;
mod catalogue;
mod compile;
mod context;
mod data;
mod floats;
mod fold_constants;
mod indices;
mod interpreter;
mod lower;
mod memory;
mod number;
mod op;
mod ops;
mod product;
mod profiler;
mod program;
mod real;
mod room;
mod samples;
mod sampling;
mod session;
mod sharing;
mod stand_in;
mod strided;
mod watched;

pub use catalogue::{Operator, operators};
pub use context::Limits;
pub use data::{Data, Sequence};
pub use fold_constants::FoldConstants;
pub use intact8_ir::Tap;
pub use interpreter::Interpreter;
pub use profiler::Profiler;
pub use session::{Input, Session};
