//! Subgraphs: If, Loop, Scan.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
