//! Tensors made of little.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
