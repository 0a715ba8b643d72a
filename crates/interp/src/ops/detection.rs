//! Boxes and regions of images.

use crate::op::OpRow;

pub(super) static ROWS: &[OpRow] = &[];
