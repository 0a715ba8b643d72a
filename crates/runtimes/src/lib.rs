//! Runtimes of others as [`Runtime`](intact8_ir::Runtime)s: ONNX Runtime and OpenVINO. Their libraries are looked for and loaded when
//! a program asks for them; it neither links nor contains them.
//!
//! [`RUNTIMES`] is the table of runtimes, [`RuntimeKind::find`] finds a library and [`RuntimeKind::load`] loads it. Each row is behind
//! a cargo feature of its name.
//! This crate quantizes nothing and knows no targets except for their names.
//!
//! ```
//! use intact8_ir::{Model, Runtime, Tensor};
//! use intact8_runtimes::RUNTIMES;
//!
//! let model: Model = "model m opset 17\n%x = input : f32[2]\n%y = Relu(%x)\nreturn %y\n".parse()?;
//! for kind in RUNTIMES {
//!     let Some(path) = kind.find(None)? else { continue };
//!     let runtime = kind.load(&path)?;
//!     let outputs = runtime.compile(&model)?.run(&[Tensor::new(&[2], vec![-1.0f32, 2.0])])?;
//!     assert_eq!(outputs[0].values::<f32>()?, [0.0, 2.0]);
//! }
//! # Ok::<(), intact8_ir::Error>(())
//! ```

#[cfg(any(feature = "onnxruntime", feature = "openvino"))]
mod every_value;
mod library_search;
#[cfg(any(feature = "onnxruntime", feature = "openvino"))]
mod model_file;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
#[cfg(feature = "openvino")]
mod openvino;
mod profiled_node;
mod runtime_kind;
#[cfg(any(feature = "onnxruntime", feature = "openvino"))]
mod session_pool;
#[cfg(any(feature = "onnxruntime", feature = "openvino"))]
mod shared_library;
mod truncated;

pub use profiled_node::ProfiledNode;
pub use runtime_kind::{LoadedRuntime, RUNTIMES, RuntimeKind};
