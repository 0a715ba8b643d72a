//! Recurrent layers.

use crate::fact::Shape;
use crate::length::Length;
use crate::row::ElementType::Common;
use crate::row::OpRow;
use crate::site::{Inferred, Site, Stop};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("GRU", &[Common(4)], recurrent),
    OpRow::tensors("LSTM", &[Common(4)], recurrent),
    OpRow::tensors("RNN", &[Common(4)], recurrent),
];

/// Input `[T,N,I]`, or `[N,T,I]` with `layout` 1: all states `[T,D,N,H]` or `[N,T,D,H]`, then the last ones `[D,N,H]` or
/// `[N,D,H]`.
fn recurrent(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let n_directions = match site.str("direction", "forward")? {
        "forward" | "reverse" => 1,
        "bidirectional" => 2,
        other => return Err(Stop::wrong(format!("direction {other:?} is none that ONNX knows"))),
    };
    let directions = Length::known(n_directions);
    let input = match site.shape_if_known(0)? {
        Some(_) => site.shape_of_rank(0, 3)?.to_vec(),
        None => vec![Length::UNKNOWN; 3],
    };
    // The last dimension of the recurrent weight is the layer's size, too.
    let size = match site.op.int("hidden_size")? {
        Some(size) => Length::known(size),
        None => site.shape_if_known(2)?.and_then(|shape| shape.last().cloned()).unwrap_or(Length::UNKNOWN),
    };
    let is_batch_first = site.flag("layout")?;
    let [first, second] = [input[0].clone(), input[1].clone()];
    let (all, last) = if is_batch_first {
        let last = vec![first.clone(), directions.clone(), size.clone()];
        (vec![first, second, directions, size], last)
    } else {
        let last = vec![directions.clone(), second.clone(), size.clone()];
        (vec![first, directions, second, size], last)
    };
    Ok(vec![Some(all), Some(last.clone()), Some(last)])
}
