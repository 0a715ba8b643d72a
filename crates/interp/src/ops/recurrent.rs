//! Recurrent layers.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
