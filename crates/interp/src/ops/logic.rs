//! Comparisons, booleans and bits.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
