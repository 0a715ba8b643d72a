//! Import and export of ONNX files: [`import()`] and [`export()`].
//!
//! This is the only crate of the workspace with protobuf. It converts bytes: the caller reads and writes the files,
//! except for the data files beside a model, which an import maps into memory. It neither converts operator sets nor
//! runs models.
//!
//! ```
//! use intact8_onnx::{ExportOptions, export, import};
//!
//! let model: intact8_ir::Model = "\
//! model double opset 17
//! %x = input : f32[N]
//! %two = const [2.0] : f32[]
//! %y = Mul(%x, %two) : f32[N]
//! return %y
//! "
//! .parse()?;
//! let bytes = export(&model, &ExportOptions::default())?.to_bytes();
//! assert_eq!(import(&bytes, None)?.to_string(), model.to_string());
//! # Ok::<(), intact8_ir::Error>(())
//! ```

mod attr;
mod constant;
mod dtype;
mod export;
mod external;
mod fields;
mod import;
mod metadata;
mod notes;
mod rope;
mod tensor;
mod types;
mod version;
mod wire;

pub use export::{ExportOptions, Exported, External, ExternalFile, export};
pub use import::{import, import_with_hard_links};
pub use metadata::appended_metadata;
