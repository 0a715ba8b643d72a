//! Results that run along an axis.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
