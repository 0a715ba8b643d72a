//! Attention and what belongs to it.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
