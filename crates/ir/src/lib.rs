//! The IR of intact8: a [`Model`] is a [`Graph`] of [`Node`]s that produce [`Value`]s, and a [`Pass`] changes it.
//!
//! It knows neither ONNX bytes nor serde nor quantization, and runs nothing. Its serialised form is text:
//!
//! ```
//! use intact8_ir::Model;
//!
//! let text = "\
//! model double opset 17
//! %x = input : f32[N]
//! %two = const [2.0] : f32[]
//! %y = Mul(%x, %two) : f32[N]
//! return %y
//! ";
//! let model: Model = text.parse()?;
//! intact8_ir::verify(&model)?;
//! assert_eq!(model.to_string(), text);
//! # Ok::<(), intact8_ir::Error>(())
//! ```

mod arena;
mod element;
mod error;
mod executor;
mod floats;
mod graph;
mod isolate;
mod minifloat;
mod model;
mod node;
mod operator_traits;
mod operators;
mod pass;
mod suggestion;
mod tensor;
mod text;
mod value;
mod verify;
mod window;

pub use arena::{GraphId, NodeRef, ValueRef};
pub use element::{
    DType, Element, F4E2M1, F6E2M3, F6E3M2, F8E4M3Fn, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, F8E8M0, I2, I4, U2, U4,
};
pub use error::{Error, ErrorKind, Result, one_line};
pub use executor::{BatchPart, Executor, Runtime, Tap};
pub use graph::{Graph, NodeId, Wire};
pub use half::{bf16, f16};
pub use isolate::isolate;
pub use minifloat::{MiniFloat, PowerRounding, rounded_to_odd};
pub use model::{Function, Model, Origin};
pub use node::{Attr, AttrKind, Node, NodeKind, Notes, Op, SparseTensor};
pub use num_complex::Complex;
pub use operator_traits::{OperatorSet, OperatorTrait};
pub use operators::is_onnx_operator;
pub use pass::{Pass, PassObserver, Pipeline};
pub use suggestion::{did_you_mean, nearest_name};
pub use tensor::Tensor;
pub use text::Constants;
pub use value::{Dim, TensorType, Type, Value, ValueId};
pub use verify::verify;
pub use window::{Padding, Window, WindowAttributes, check_sizes, explicit_pads, split_padding};
