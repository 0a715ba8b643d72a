//! Softmax and its kin.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
