//! Choosing and combining elements of several operands.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
