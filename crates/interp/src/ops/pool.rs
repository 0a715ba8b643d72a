//! Pools.

use super::window::{Moves, WindowAttrs};
use crate::op::{Kernel, NEWEST, OpRow, Site, one};
use quantfit_ir::{DType, Error, Result, Tensor};

pub(super) static ROWS: &[OpRow] = &[
    OpRow {
        name: "AveragePool",
        opsets: 1..=NEWEST,
        types: &[DType::F32],
        compile: |site| pool(site, false),
    },
    OpRow { name: "MaxPool", opsets: 1..=NEWEST, types: &[DType::F32], compile: |site| pool(site, true) },
];

fn pool(site: &Site<'_>, _max: bool) -> Result<Kernel> {
    Err(site.unsupported("anything yet"))
}
