//! Sampling at computed places.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
