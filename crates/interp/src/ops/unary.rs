//! Functions of one element.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
