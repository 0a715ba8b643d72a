//! Every kernel against the reference of its operation, on random shapes that include 0, 1 and tile ± 1.
//! The tests iterate over the tables, so a new kernel is tested without a change here.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "it/blocked.rs"]
mod blocked;
#[path = "it/chain.rs"]
mod chain;
#[path = "it/conv.rs"]
mod conv;
#[path = "it/conv_blocked.rs"]
mod conv_blocked;
#[path = "it/conv_bytes.rs"]
mod conv_bytes;
#[path = "it/conv_integer.rs"]
mod conv_integer;
#[path = "it/conv_transpose.rs"]
mod conv_transpose;
#[path = "it/elementwise.rs"]
mod elementwise;
#[path = "it/gemm.rs"]
mod gemm;
#[path = "it/gemm_bytes.rs"]
mod gemm_bytes;
#[path = "it/gemm_integer.rs"]
mod gemm_integer;
#[path = "it/lookup.rs"]
mod lookup;
#[path = "it/pool.rs"]
mod pool;
#[path = "it/pool_bytes.rs"]
mod pool_bytes;
#[path = "it/quantize.rs"]
mod quantize;
#[path = "it/random.rs"]
mod random;
#[path = "it/reduce.rs"]
mod reduce;
#[path = "it/rows.rs"]
mod rows;
#[path = "it/threads.rs"]
mod threads;
