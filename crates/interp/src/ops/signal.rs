//! Transforms and windows of signals.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
