//! Convolutions and matrix products of integers.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
