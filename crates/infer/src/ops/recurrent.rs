//! Recurrent layers.

use crate::dim_expr::DimExpr;
use crate::fact::Shape;
use crate::inference_context::{InferenceContext, Inferred, Stop};
use crate::row::ElementType::Common;
use crate::row::OpRow;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("GRU", &[Common(4)], recurrent),
    OpRow::tensors("LSTM", &[Common(4)], recurrent),
    OpRow::tensors("RNN", &[Common(4)], recurrent),
];

/// The input is `[T,N,I]`, or `[N,T,I]` with `layout` 1; the outputs are all states `[T,D,N,H]` or `[N,T,D,H]`, then
/// the last ones `[D,N,H]` or `[N,D,H]`.
fn recurrent(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let n_directions = match ctx.str("direction", "forward")? {
        "forward" | "reverse" => 1,
        "bidirectional" => 2,
        other => return Err(Stop::wrong(format!("direction {other:?} is not defined by ONNX"))),
    };
    let directions = DimExpr::known(n_directions);
    let input = match ctx.shape_if_known(0)? {
        Some(_) => ctx.shape_of_rank(0, 3)?.to_vec(),
        None => vec![DimExpr::UNKNOWN; 3],
    };
    // The last dimension of the recurrence weight is also the hidden size.
    let size = match ctx.op.int("hidden_size")? {
        Some(size) => DimExpr::known(size),
        None => ctx.shape_if_known(2)?.and_then(|shape| shape.last().cloned()).unwrap_or(DimExpr::UNKNOWN),
    };
    let is_batch_first = ctx.flag("layout")?;
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
