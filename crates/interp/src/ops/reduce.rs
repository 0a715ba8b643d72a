//! Reductions over axes.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
