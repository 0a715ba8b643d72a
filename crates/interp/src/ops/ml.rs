//! The few operators of `ai.onnx.ml` that stand around networks.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
