//! Fused operators of `com.microsoft`, which run in ONNX Runtime only.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
