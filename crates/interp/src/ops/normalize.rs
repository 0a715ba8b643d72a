//! Normalizations.

mod batch;
mod channels;
mod moments;
mod trailing;
mod vectors;

use crate::number::FLOATS;
use crate::op::{NEWEST, OpRow};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "BatchNormalization", opsets: 7..=NEWEST, types: FLOATS, compile: batch::batch },
    OpRow { name: "GroupNormalization", opsets: 18..=NEWEST, types: FLOATS, compile: channels::group },
    OpRow { name: "InstanceNormalization", opsets: 6..=NEWEST, types: FLOATS, compile: channels::instance },
    OpRow { name: "LRN", opsets: 1..=NEWEST, types: FLOATS, compile: vectors::local_response },
    OpRow { name: "LayerNormalization", opsets: 17..=NEWEST, types: FLOATS, compile: trailing::layer },
    OpRow { name: "LpNormalization", opsets: 1..=NEWEST, types: FLOATS, compile: vectors::lp },
    OpRow {
        name: "MeanVarianceNormalization",
        opsets: 9..=NEWEST,
        types: FLOATS,
        compile: vectors::mean_variance,
    },
    OpRow {
        name: "RMSNormalization",
        opsets: 23..=NEWEST,
        types: FLOATS,
        compile: trailing::root_mean_square,
    },
];
