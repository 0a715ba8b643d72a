//! Between element types.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
