//! Putting tensors together and apart.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
